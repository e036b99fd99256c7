"""Run a notebook's code cells as a script, without Jupyter, and write down what became of its claims.

A claim that does not hold is written down, and the notebook goes on; any other error ends it.

    python -m benchmarks.as_script notebooks/part1_basics/00_first_hour.ipynb report.json
"""

from __future__ import annotations

import builtins
import functools
import inspect
import json
import linecache
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transferbook.evidence import claims
from transferbook.evidence.intervals import Interval

MAY_RAISE = {"raises-exception", "nbval-raises-exception"}


def run(path: Path, keep: Callable[[dict[str, Any]], object] = lambda so_far: None) -> dict[str, Any]:
    """Execute the code cells of a notebook in `__main__`, in the notebook's folder.

    Args:
        path: the notebook, nbformat 4.
        keep: called before each code cell with what is returned, as far as it is known: `seconds` is None
            and `error` names the cell. So a run that is stopped tells how far it came.

    Returns:
        `claims`: one dict for each claim, with `name`, `kind`, `value` and its ends `low` and `high` (None
        where it compares arrays), `holds`, and `said`, the line that was printed or the reason;
        `seconds` of wall time, the imports of the notebook included; `error`: None, or what ended it.
    """
    log: list[dict[str, Any]] = []
    claims.claim = _watched(claims.claim, log)
    claims.claim_equal = _watched(claims.claim_equal, log)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    os.chdir(path.parent)
    os.environ.setdefault("MPLBACKEND", "Agg")
    builtins.display = print  # type: ignore[attr-defined] # as IPython's kernel offers it
    namespace = sys.modules["__main__"].__dict__
    started, error = time.perf_counter(), None
    for number, cell in enumerate(cells, start=1):
        if cell["cell_type"] != "code":
            continue
        keep({"claims": log, "seconds": None, "error": f"cell {number} of {len(cells)}"})
        source = "".join(cell["source"])
        name = f"<cell {number} of {path.stem}>"
        linecache.cache[name] = len(source), None, source.splitlines(True), name  # for inspect.getsource
        try:
            exec(compile(source, name, "exec"), namespace)
        except Exception as problem:
            if not MAY_RAISE & set(cell.get("metadata", {}).get("tags", [])):
                error = f"cell {number}: {type(problem).__name__}: {problem}"
                break
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")
    return {"claims": log, "seconds": round(time.perf_counter() - started, 3), "error": error}


def _watched(function: Callable[..., None], log: list[dict[str, Any]]) -> Callable[..., None]:
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        said, holds = "", True
        try:
            function(*args, **kwargs)
        except (claims.ClaimFailed, claims.ClaimError) as problem:
            said, holds = str(problem).partition("\n")[0], False
            print(said)
        log.append(_entry(bound.arguments) | {"holds": holds, "said": said})

    return wrapper


def _entry(given: Mapping[str, Any]) -> dict[str, Any]:
    if "value" not in given:
        return {"name": given["name"], "kind": "equal", "value": None, "low": None, "high": None}
    value = given["value"]
    ends = (value.mean, value.low, value.high) if isinstance(value, Interval) else (value,) * 3
    return {"name": given["name"], "kind": given["kind"]} | {
        key: float(end) for key, end in zip(("value", "low", "high"), ends, strict=True)
    }


def main() -> bool:
    """Run the notebook that the command names; whether an error ended it."""
    notebook, report = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    part = report.with_suffix(".part")  # so that the report is whole whenever this process is stopped

    def keep(found: dict[str, Any]) -> None:
        part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        part.replace(report)

    found = run(notebook, keep)
    keep(found)
    print(f"{notebook.stem}: {len(found['claims'])} claims, {found['error'] or 'no error'}")
    return found["error"] is not None


if __name__ == "__main__":
    from benchmarks import as_script  # a second time: the notebook's names overwrite those of this one

    sys.exit(as_script.main())
