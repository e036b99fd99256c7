"""What a target of the Makefile needs before it starts; what is missing is said in one sentence.

    python3 .ci/ready.py python GOAL    a Python that can make .venv, and a .venv that fits it
    python3 .ci/ready.py port NUMBER    a port that nobody listens on

This runs on whatever Python there is, so an old one has to be able to read it.
"""

import importlib
import os
import socket
import subprocess
import sys

MODULES = {"venv": "-venv", "ensurepip": "-venv", "ssl": "", "zlib": ""}  # and the ending of Debian's package
VERSION = "import sys; print('.'.join(map(str, sys.version_info[:2])))"


def check_python(goal):
    version = ".".join(map(str, sys.version_info[:2]))
    here = "Python " + version + " (" + sys.executable + ")"
    another = "name another Python: make " + goal + " PYTHON=python3.12."
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit("The book needs Python 3.11, 3.12 or 3.13, and this is " + here + "; " + another)

    for module, ending in MODULES.items():
        try:
            importlib.import_module(module)
        except ImportError:
            package = "python" + version + ending
            sys.exit(
                here + " has no module " + module + ", without which nothing can be installed: install it "
                "(on Debian and Ubuntu: sudo apt install " + package + "), or " + another
            )

    old = os.path.join(".venv", "bin", "python")
    if os.path.lexists(old):
        try:
            found = subprocess.run([old, "-c", VERSION], capture_output=True, text=True).stdout.strip()
        except OSError:
            found = ""
        if found != version:
            fits = found in ("3.11", "3.12", "3.13")
            other = ", or go on with it: make " + goal + " PYTHON=python" + found if fits else ""
            found = "Python " + found if found else "a Python that does not run"
            sys.exit(".venv holds " + found + ", and this is " + here + ": rm -rf .venv" + other + ".")


def check_port(text):
    if not text.isdigit() or not 0 < int(text) < 65536:
        sys.exit("PORT is '" + text + "'; it must be a number from 1 to 65535: make serve PORT=8001.")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as http.server does
    try:
        listener.bind(("127.0.0.1", int(text)))
    except OSError as error:
        why = os.strerror(error.errno).lower()
        sys.exit("Port " + text + " cannot be used (" + why + "); name another: make serve PORT=8001.")
    finally:
        listener.close()


if __name__ == "__main__":
    {"python": check_python, "port": check_port}[sys.argv[1]](sys.argv[2])
