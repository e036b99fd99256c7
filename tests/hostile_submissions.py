"""Submissions that try to get points without an answer, to look where they may not, or to do harm."""

from __future__ import annotations

# Each defines `penalised_line`, the first question of `fitting`, and gives no right answer to it.
LOOKS = """
import os
found = []
for top, folders, files in os.walk("/"):
    if top.startswith(("/proc", "/sys", "/usr", "/lib")) or "site-packages" in top or "lib/python" in top:
        folders[:] = []
        continue
    found += [os.path.join(top, name) for name in files]
    found += [os.path.join(top, name) for name in folders if not os.listdir(os.path.join(top, name))]
"""
CODE = {
    "reads the tests": LOOKS
    + """
text = "".join(open(name, errors="replace").read() for name in found if name.endswith(".py"))
def penalised_line(x, y):
    assert "line_truth" in text or "penalised_line_wrong" in text, "no test to be found"
    return {{ answer.penalised_line }}
""",
    "reads what others handed in": LOOKS
    + """
others = [name for name in found if name.endswith(".ipynb") or "submitted" in name or "roster" in name]
def penalised_line(x, y):
    assert others, "nobody else to be found"
    return 0, 0
""",
    "reads the course's secret": """
import glob
def penalised_line(x, y):
    return open((glob.glob("/**/secret.txt", recursive=True) + glob.glob("/home/*/*"))[0]).read()
""",
    "patches the program that it runs in": """
import sys, builtins, json
for module in list(sys.modules.values()):
    for name in ("dumps", "loads", "_plain"):
        if hasattr(module, name):
            setattr(module, name, lambda *a, **k: '{"value": true, "points": 3, "passed": true}')
def penalised_line(x, y):
    return 0, 0
""",
    "patches numpy": """
np.allclose = np.array_equal = np.isclose = lambda *a, **k: True
np.ndarray.__eq__ = lambda self, other: True if False else NotImplemented
def penalised_line(x, y):
    return 0, 0
""",
    "answers before it is asked, in all pipes": """
import os
line = b'{"object": {"value": true, "passed": true, "points": 3}}\\n'
for number in range(3, 60):
    try:
        os.write(number, line * 100)
    except OSError:
        pass
def penalised_line(x, y):
    return 0, 0
""",
    "writes a file of results": """
import json, os
for folder in ("/tmp", "/in", "/", os.getcwd(), os.path.expanduser("~")):
    try:
        json.dump({"marks": [{"question": "penalised_line", "points": 3}]}, open(folder + "/ann.json", "w"))
    except OSError:
        pass
def penalised_line(x, y):
    return 0, 0
""",
    "is equal to everything": """
class Right(float):
    def __eq__(self, other): return True
    def __sub__(self, other): return Right(0)
    __rsub__ = __abs__ = lambda self, *a: Right(0)
    __le__ = __lt__ = __ge__ = __gt__ = lambda self, other: True
def penalised_line(x, y):
    return Right(0), Right(0)
""",
    "returns what runs code when it is unpickled": """
import os
class Trap:
    def __reduce__(self): return os.system, ("touch /tmp/harmed",)
def penalised_line(x, y):
    return np.array([Trap(), Trap()], dtype=object)
""",
    "writes a pickle into the pipe": """
import os, pickle, sys
class Trap:
    def __reduce__(self): return os.system, ("touch /tmp/harmed",)
os.write(int(sys.argv[1]), pickle.dumps([Trap()]) + b"\\n")
def penalised_line(x, y):
    return 0, 0
""",
    "opens a socket": """
import socket
def penalised_line(x, y):
    socket.create_connection(("127.0.0.1", 22), timeout=1)
    return 0, 0
""",
    "starts a program": """
import subprocess
def penalised_line(x, y):
    return subprocess.run(["id"], capture_output=True).stdout.decode()
""",
    "forks without end": """
import os
def penalised_line(x, y):
    while True:
        os.fork()
""",
    "starts threads without end": """
import threading, time
def penalised_line(x, y):
    while True:
        threading.Thread(target=time.sleep, args=(1e6,)).start()
""",
    "fills the memory": """
def penalised_line(x, y):
    kept = []
    while True:
        kept.append(bytearray(1 << 28))
""",
    "fills the disk": """
def penalised_line(x, y):
    number = 0
    while True:
        number += 1
        for folder in ("/tmp", "/dev/shm"):
            with open(f"{folder}/{number}", "wb") as file:
                file.write(bytes(1 << 20))
""",
    "makes files without end": """
def penalised_line(x, y):
    number = 0
    while True:
        number += 1
        open(f"/tmp/{number}", "w").close()
""",
    "sleeps": """
import time
def penalised_line(x, y):
    time.sleep(1e6)
""",
    "sleeps through every signal": """
import signal, time
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
def penalised_line(x, y):
    while True:
        time.sleep(1e6)
""",
    "prints without end": """
def penalised_line(x, y):
    while True:
        print("x" * 100_000)
""",
    "answers without end": """
import os, sys
def penalised_line(x, y):
    while True:
        os.write(int(sys.argv[1]), b"9" * 100_000)
""",
    "ends": """
import sys
sys.exit(0)
def penalised_line(x, y):
    return 0, 0
""",
    "ends at once": """
import os
def penalised_line(x, y):
    os._exit(0)
""",
    "kills all that it sees": """
import os, signal
def penalised_line(x, y):
    os.kill(-1, signal.SIGKILL)
    return 0, 0
""",
    "crashes the interpreter": """
import ctypes
def penalised_line(x, y):
    return ctypes.string_at(0)
""",
    "calls itself without end": """
import sys
sys.setrecursionlimit(10**9)
def penalised_line(x, y):
    return penalised_line(x, y)
""",
    "nests its answer deeply": """
def penalised_line(x, y):
    found = 0
    for _ in range(100_000):
        found = [found]
    return found
""",
    "nests deeply what it writes itself": """
import os, sys
os.write(int(sys.argv[1]), b"[" * 200_000 + b"]" * 200_000 + b"\\n")
def penalised_line(x, y):
    return 0, 0
""",
    "claims an array that would fill the memory": """
import os, sys
os.write(int(sys.argv[1]), b'{"array": ["float64", [2000000000, 2000000000], ""]}\\n')
def penalised_line(x, y):
    return 0, 0
""",
    "writes a number of a million digits": """
import os, sys
os.write(int(sys.argv[1]), b"9" * 1_000_000 + b"\\n")
def penalised_line(x, y):
    return 0, 0
""",
    "answers whole numbers beyond all bounds": """
def penalised_line(x, y):
    return 10**400, -10**400
""",
    "answers numbers whose sum overflows": """
def penalised_line(x, y):
    return np.full(2, 1.7e308)
""",
    "answers an array that is long and empty": """
def penalised_line(x, y):
    return np.zeros((2, 2**31 - 1, 0))
""",
    "answers a long text among many numbers": """
def penalised_line(x, y):
    return ["x" * 1_000_000] + [0] * 900_000
""",
    "solves another problem": """
def penalised_line(x, y):
    u = x - x.mean()
    slope = u @ y / (u @ u)
    return y.mean() - slope * x.mean(), slope
""",
    "sets every seed": """
import random
np.random.seed(0); random.seed(0)
np.random.default_rng = lambda *a: np.random.Generator(np.random.PCG64(0))
def penalised_line(x, y):
    return {{ answer.penalised_line }}
""",
    "tells the hidden input in the name of an error": """
def penalised_line(x, y):
    raise type("Seen_" + "_".join(f"{number:.3f}" for number in x), (Exception,), {})()
""",
    "tells the hidden input in the number of a line": """
import os, sys
os.write(int(sys.argv[1]), b'{"object": {"error": "ValueError", "cell": 2, "line": 7654}}\\n')
def penalised_line(x, y):
    return 0, 0
""",
    "tells the hidden input in the text of an error": """
def penalised_line(x, y):
    print("Seen_", x)
    raise ValueError(f"Seen_{x}")
""",
    "is no Python": "def penalised_line(x, y:\n    return 0, 0\n",
    "is nothing": "",
}
