"""Runs inside the sandbox: the cells of a submission, one after another, then the calls of one question.

It is handed `cells.json` (the code), `calls.json` (a function and its arguments, as `wire` writes them) and
`wire.py`, and writes one line for each call into the pipe for answers: a mapping with `value`, or with
`error`, `cell` and `line`. No test and no right answer is here, so there is nothing to find; what this
program says is checked outside.
"""

import json
import os
import re
import resource
import sys
import traceback
import types

SPECIAL = re.compile(r"^([ \t]*)[%!].*$", re.MULTILINE)  # commands to Jupyter and to the shell


def compiled(source: str, name: str) -> types.CodeType:
    """The code of a cell; where that is no Python, with `pass` for commands to Jupyter or to the shell."""
    try:
        return compile(source, name, "exec")
    except SyntaxError:
        return compile(SPECIAL.sub(r"\1pass", source), name, "exec")


def main() -> None:
    pipe, memory, disk = map(int, sys.argv[1:])
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, disk),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    sys.path.insert(0, "/in")
    import wire

    def say(line: str) -> None:
        content = line.encode("utf-8", "replace") + b"\n"
        while content:
            content = content[os.write(pipe, content) :]

    def failed(error: BaseException) -> dict[str, object]:
        frames = [
            frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("cell ")
        ]
        cell, line = (int(frames[-1].filename[5:]), frames[-1].lineno or 0) if frames else (0, 0)
        return {"error": type(error).__name__, "cell": cell, "line": line}

    with open("/in/cells.json", encoding="utf-8") as file:
        cells = json.load(file)
    names: dict[str, object] = {"__name__": "__main__"}
    for number, source in cells:
        try:
            exec(compiled(source, f"cell {number}"), names)
        except (Exception, SystemExit) as error:
            said = " ".join("".join(traceback.format_exception_only(error)).split())
            print(f"cell {number}: {said[:500]}", flush=True)
    with open("/in/calls.json", encoding="utf-8") as file:
        name, calls = json.load(file)
    for call in calls:
        if name not in names:
            say(wire.dumps({"error": "missing", "cell": 0, "line": 0}))
            return
        arguments = wire.loads(call)
        try:
            answer = names[name](**arguments)
        except (Exception, SystemExit) as error:
            say(wire.dumps(failed(error)))
            continue
        try:
            line = wire.dumps({"value": answer})
        except Exception:
            line = wire.dumps({"error": "unreadable", "cell": 0, "line": 0})
        say(line)


main()
