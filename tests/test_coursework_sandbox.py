"""The walls around a submission: what gets in, what gets out, and what a program behind them cannot do."""

from __future__ import annotations

import json
import os
import platform
import struct
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from coursework import filters, sandbox, wire

ROOT = Path(__file__).parents[1]
# Python's own folders are all that there is in /tmp, if they lie there.
OURS = {Path(place).parts[2] for place in (sys.prefix, sys.base_prefix) if place.startswith("/tmp/")}
START = "import os, sys, resource\n"
SAY = "os.write(int(sys.argv[1]), repr({}).encode())\n"


def run(code: str, **limits: float) -> sandbox.Run:
    return sandbox.run(
        {"p.py": (START + code).encode()}, "p.py", sandbox.Limits(**{"seconds": 20.0, **limits})
    )


def answer(code: str, **limits: float) -> str:
    return run(code, **limits).answer.decode()


# --- the walls ---------------------------------------------------------------------------------------------


def test_a_program_runs_and_answers():
    found = run("import numpy\nprint('printed')\n" + SAY.format("numpy.arange(3).sum().item()"))
    assert (found.answer, found.printed, found.stopped, found.code) == (b"3", "printed\n", "", 0)


def test_it_sees_python_and_nothing_of_this_repository_or_a_home():
    places = [
        str(ROOT / "README.md"),
        str(ROOT / "coursework"),
        str(Path.home() / ".bashrc"),
        "/etc/passwd",
        "/var",
    ]
    assert answer(SAY.format(f"[os.path.exists(place) for place in {places}]")) == str([False] * 5)
    assert answer(SAY.format("os.listdir('/in')")) == "['p.py']"
    assert answer(SAY.format("sorted(os.listdir('/tmp'))")) == repr(sorted(OURS))


@pytest.mark.parametrize("place", ["/x", "/in/x", "/usr/x", "/proc/x", "/etc/x"])
def test_it_writes_nowhere_but_in_tmp(place):
    said = answer(
        f"try:\n    open({place!r}, 'w')\nexcept OSError as error:\n    " + SAY.format("error.errno")
    )
    assert int(said) in (2, 13, 30)  # no such file, no permission, read-only
    found = answer("open('/tmp/x', 'w').write('x')\n" + SAY.format("sorted(os.listdir('/tmp'))"))
    assert found == repr(sorted({"x", *OURS}))


def test_a_python_below_tmp_is_seen(monkeypatch, tmp_path):
    """A checkout may lie in /tmp, which is another one inside."""
    assert tmp_path.parts[1] == "tmp"
    (tmp_path / "here").write_text("x", encoding="utf-8")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sandbox, "SYSTEM", (*sandbox.SYSTEM, str(Path(sys.executable).parents[1])))
    assert answer(SAY.format(f"os.path.exists({str(tmp_path / 'here')!r})")) == "True"


def test_it_has_no_network():
    said = answer("import socket\n" + SAY.format("[name for _, name in socket.if_nameindex()]"))
    assert said == "['lo']"
    ours = "import socket\nfound = socket.socket()\nfound.settimeout(2)\n"
    assert answer(ours + SAY.format("found.connect_ex(('192.0.2.1', 80)) != 0")) == "True"


def test_it_has_no_rights_and_an_environment_of_its_own():
    os.environ["COURSEWORK_SECRET"] = "x"
    try:
        found = answer(SAY.format("(os.getuid(), 'COURSEWORK_SECRET' in os.environ, os.environ['HOME'])"))
    finally:
        del os.environ["COURSEWORK_SECRET"]
    assert found == "(65534, False, '/tmp')"
    rights = "[line.split()[1] for line in open('/proc/self/status') if line.startswith('Cap')]"
    assert set(eval(answer(SAY.format(rights)))) == {"0" * 16}


@pytest.mark.parametrize(
    "how",
    ["os.fork()", "__import__('subprocess').run(['/bin/true'])", "os.posix_spawn('/bin/true', ['x'], {})"],
)
def test_it_starts_no_process(how):
    said = answer(f"try:\n    {how}\nexcept OSError as error:\n    " + SAY.format("error.errno"))
    assert said == "1"  # not permitted


def test_it_may_start_threads():
    code = "import threading\nfound = []\nthread = threading.Thread(target=found.append, args=(1,))\n"
    assert answer(code + "thread.start()\nthread.join()\n" + SAY.format("found")) == "[1]"


def test_what_it_writes_is_bounded():
    code = "try:\n    open('/tmp/x', 'wb').write(bytes(40 << 20))\nexcept OSError as error:\n    "
    assert answer(code + SAY.format("error.errno"), disk=8 << 20) == "28"  # no space left


def test_it_is_stopped_with_all_that_it_started():
    before = {process.pid for process in psutil.process_iter()}
    started = time.monotonic()
    found = run("import time\n" + SAY.format("'first'") + "time.sleep(1000)", seconds=1)
    assert (
        found.answer == b"'first'" and found.stopped == "It was stopped after 1 seconds." and found.code < 0
    )
    assert time.monotonic() - started < 10
    time.sleep(0.3)
    left = [process for process in psutil.process_iter(["cmdline"]) if process.pid not in before]
    assert not [process for process in left if "/in/p.py" in (process.info["cmdline"] or [])]


def test_what_it_prints_and_answers_is_read_up_to_a_limit():
    found = run("print('x' * 10_000_000)", printed=1_000)
    assert found.printed == "x" * 1_000 and found.code == 0
    found = run("while True:\n    os.write(int(sys.argv[1]), bytes(1 << 16))", answer=1 << 20)
    assert (
        found.answer == b""
        and found.stopped == "It was stopped: its answers are larger than 1,048,576 bytes."
    )


REFUSES = "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
SILENT = "#!/bin/sh\nexit 0\n"
WALLLESS = f"""#!{sys.executable}
import os, sys
folder, inside = sys.argv[sys.argv.index("/in") - 1], sys.argv[sys.argv.index({sys.executable!r}):]
os.execv(inside[0], [*inside[:2], inside[2].replace("/in", folder), *inside[3:]])
"""


@pytest.mark.parametrize(
    "broken, said",
    [
        (REFUSES, "No permissions to create new namespace"),
        (SILENT, "it sees this"),
        (WALLLESS, "it sees this repository"),
    ],
)
def test_where_there_is_no_sandbox_nothing_is_run(monkeypatch, tmp_path, broken, said):
    program, ran = tmp_path / "bwrap", tmp_path / "ran"
    program.write_text(broken)
    program.chmod(0o755)
    monkeypatch.setattr(sandbox, "_bubblewrap", lambda: program)
    sandbox.check.cache_clear()
    try:
        with pytest.raises(
            sandbox.NoSandbox, match=rf"^No sandbox can be had here \(.*{said}.*\); submissions are not run"
        ):
            sandbox.run({"p.py": f"open({str(ran)!r}, 'w')".encode()}, "p.py")
    finally:
        sandbox.check.cache_clear()
    assert not ran.exists()


# --- the filter --------------------------------------------------------------------------------------------


def decide(program: bytes, machine: int, number: int, argument: int = 0) -> int:
    """What a filter answers: the few instructions of classic BPF that it uses, interpreted."""
    data = {0: number, 4: machine, 16: argument}
    steps = list(struct.iter_unpack("=HBBI", program))
    place = loaded = 0
    while True:
        code, yes, no, value = steps[place]
        place += 1
        if code == filters.LOAD:
            loaded = data[value]
        elif code == filters.RETURN:
            return value
        else:
            holds = {
                filters.EQUAL: loaded == value,
                filters.AT_LEAST: loaded >= value,
                filters.ANY_BIT: bool(loaded & value),
            }[code]
            place += yes if holds else no


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_refuses_processes_and_lets_threads_pass(machine):
    program, own = filters.one_process(machine), filters.ARCHITECTURE[machine]
    refused, missing = 0x00050001, 0x00050026
    assert decide(program, own, 1) == filters.ALLOW
    assert decide(program, own, filters.CLONE[machine], 0x00010F00) == filters.ALLOW  # as threads are made
    assert decide(program, own, filters.CLONE[machine], 0x01200011) == refused  # as fork does it
    assert decide(program, own, filters.CLONE3) == missing
    assert decide(program, own, 0x40000000 | 57) == refused
    for number in filters.FORKS[machine]:
        assert decide(program, own, number) == refused
    assert decide(program, own ^ 1, 1) == filters.KILL
    assert filters.one_process("s390x") is None


def test_this_machine_has_a_filter():
    assert platform.machine() in filters.ARCHITECTURE


# --- the wire ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -2.5,
        float("inf"),
        "text\nand ü",
        [1, [2.0, "x"]],
        {"a": [1], "object": {"array": 3}},
        [],
    ],
)
def test_plain_values_come_back(value):
    line = wire.dumps(value)
    assert "\n" not in line and wire.loads(line) == value


@pytest.mark.parametrize(
    "array",
    [np.arange(6).reshape(2, 3), np.array([1.5, np.nan, -np.inf]), np.array([True, False]), np.zeros((0, 4))],
)
def test_arrays_come_back_exactly(array):
    found = wire.loads(wire.dumps({"a": array}))["a"]
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype and found.shape == array.shape


def test_narrow_numbers_tensors_and_scalars_are_read_as_what_they_hold():
    torch = pytest.importorskip("torch")
    assert wire.loads(wire.dumps((np.float32(0.5), np.int8(3), np.bool_(True)))) == [0.5, 3, True]
    np.testing.assert_array_equal(wire.loads(wire.dumps(torch.ones(2, requires_grad=True))), [1.0, 1.0])
    assert wire.loads(wire.dumps(np.array(["a", "bc"]))) == ["a", "bc"]


@pytest.mark.parametrize("value", [object(), {1: 2}, np.array([object()]), {3}, b"x", 1j, lambda: 0])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match="cannot be an answer"):
        wire.dumps(value)


def nested(depth: int) -> list:
    found: list = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"nonsense",
        b"[" * 100_000,
        json.dumps(nested(30)).encode(),
        b'{"a": 1}',
        b'{"array": 3}',
        b'{"array": ["object", [1], ""]}',
        b'{"array": ["float64", [2], "AAAA"]}',
        b'{"array": ["float64", [-1], ""]}',
        b'{"array": ["float64", [1e9], ""]}',
        b'{"array": ["float64", [true], ""]}',
        b'{"array": ["float64", [2147483647, 2147483647, 2147483647], ""]}',
        b'{"array": ["int64", [1], "not base64!"]}',
        b'{"array": ["float64", "1", "AAAAAAAAAAA="]}',
        b'{"object": [1]}',
        b'{"object": {}, "array": []}',
        b'{"array": [["float64"], [0], ""]}',
        b"9" * 100_000,
        b"9" * 400,
        b"[9223372036854775808]",
    ],
)
def test_what_is_not_an_answer_is_refused_in_a_sentence(line):
    with pytest.raises(ValueError):
        wire.loads(line)
