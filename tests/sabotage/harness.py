"""The sabotage rule: a chapter's claims must fail when its experiment is broken.

A notebook is executed with the training labels shuffled (`shuffle_labels.py`), its studies answering with
rows that were re-run in the same way (`rerun_study.py`). Of its claims, those of the kinds "chance" and
"agreement" not counted, at least half must fail, and the one that its metadata names as `headline` must.

A chapter whose experiment has no labels, or makes its own, declares in its metadata how to break it as well:
`"transferbook": {"sabotage": [{"find": "...", "replace": "...", "why": "..."}]}`. Each `find` must stand
exactly once in the code cells; it is replaced in a copy of the notebook.
"""

from __future__ import annotations

import ast
import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbclient
import notebook_rules
from nbformat import NotebookNode

HERE = Path(__file__).parent
START_UP = ("shuffle_labels.py", "watch_claims.py")
NOT_COUNTED = {"chance", "agreement"}
SECONDS_PER_CELL = 1_200


class SabotageError(ValueError):
    """A sabotage is declared wrongly or could not be carried out."""


def broken(notebook: NotebookNode) -> NotebookNode:
    """A copy of the notebook with the sabotage that it declares.

    Raises:
        SabotageError: if a declaration lacks a part, changes nothing, or its `find` is not there once.
    """
    result = copy.deepcopy(notebook)
    for declaration in notebook_rules.declared(notebook).get("sabotage", []):
        if set(declaration) != {"find", "replace", "why"} or not declaration["why"].strip():
            raise SabotageError(f"a sabotage has find, replace and why, not {sorted(declaration)}")
        find, replace = declaration["find"], declaration["replace"]
        holders = [cell for _, cell in notebook_rules.cells(result, "code") if find in cell.source]
        count = sum(cell.source.count(find) for cell in holders)
        if count != 1:
            raise SabotageError(
                f"the sabotage's find {find!r} stands {count} times in the code cells, not once"
            )
        if find == replace:
            raise SabotageError(f"the sabotage replaces {find!r} by itself")
        holders[0].source = holders[0].source.replace(find, replace)
    return result


def studies_used(notebook: NotebookNode) -> list[str]:
    """Names of the studies whose rows the notebook loads, from its calls of `load("NAME")`."""
    used: dict[str, None] = {}
    for _, cell in notebook_rules.cells(notebook, "code"):
        for node in ast.walk(notebook_rules.tree(cell)):
            if notebook_rules.called(node) == "load" and node.args and isinstance(node.args[0], ast.Constant):
                used[node.args[0].value] = None
    return list(used)


def run(path: Path, root: Path, folder: Path) -> tuple[list[dict], list[str]]:
    """Execute a notebook under sabotage.

    Args:
        path: the notebook; it is not changed.
        root: folder that holds the package.
        folder: an empty folder for what the run leaves.

    Returns:
        One record (name, kind, failed) per claim that was reached, and the errors of cells, claims apart.

    Raises:
        SabotageError: if the sabotage is declared wrongly or did not take hold.
    """
    original = notebook_rules.read(path)
    notebook = broken(original)
    start_up = folder / "ipython" / "profile_default" / "startup"
    start_up.mkdir(parents=True)
    for name in START_UP:
        shutil.copy(HERE / name, start_up)
    environment = os.environ | {
        "IPYTHONDIR": str(folder / "ipython"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(root),
        "TRANSFERBOOK_SABOTAGE": str(folder),
    }
    for study in studies_used(notebook):
        command = [sys.executable, str(HERE / "rerun_study.py"), study, str(folder / f"{study}.json")]
        recorded = os.environ.get("TRANSFERBOOK_RESULTS", "")  # read only where nothing can be run
        apart = environment | {"TRANSFERBOOK_RESULTS": str(folder / "results")}
        apart |= {"TRANSFERBOOK_RECORDED": recorded}
        done = subprocess.run(command, env=apart, capture_output=True, text=True)
        if done.returncode != 0:
            raise SabotageError(f"study {study} cannot be re-run under sabotage: {done.stderr[-2000:]}")
    client = nbclient.NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        allow_errors=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute(env=environment)
    log = folder / "claims.jsonl"
    if not log.exists():
        raise SabotageError("the start-up files did not run in the kernel")
    records = [json.loads(line) for line in log.read_text().splitlines()]
    expected = {number for number, cell in notebook_rules.cells(original, "code") if has_error(cell)}
    errors = [
        f"cell {number}: {output.ename}: {output.evalue}"
        for number, cell in notebook_rules.cells(notebook, "code")
        for output in cell.outputs
        if output.output_type == "error" and number not in expected
    ]
    return records, errors


def has_error(cell: NotebookNode) -> bool:
    """Whether a cell's outputs hold an error."""
    return any(output.output_type == "error" for output in cell.outputs)


def problems(notebook: NotebookNode, records: list[dict], errors: list[str]) -> list[str]:
    """Whether enough claims of a notebook failed under sabotage.

    Args:
        notebook: the notebook.
        records: name, kind and failed of each claim that was reached, see `run`.
        errors: what else went wrong in its cells, for the message.
    """
    failed: dict[str, bool] = {}
    for record in records:
        if record["kind"] not in NOT_COUNTED:
            failed[record["name"]] = failed.get(record["name"], False) or record["failed"]
    reached = {record["name"] for record in records}
    unreached = [
        call.name
        for call in notebook_rules.claim_calls(notebook)
        if call.kind not in NOT_COUNTED and not any(map(call.covers, reached))
    ]
    held = [name for name, has_failed in failed.items() if not has_failed] + unreached
    headline = notebook_rules.declared(notebook).get("headline")
    found: list[str] = []
    if not failed.get(headline, False):
        why = "was not reached" if headline not in reached else "still holds or is not counted"
        found.append(f"the headline claim {headline} {why} although the experiment is broken")
    if sum(failed.values()) < len(held):
        total = len(failed) + len(unreached)
        found.append(f"only {sum(failed.values())} of {total} claims fail, not {', '.join(held)}")
    if found and errors:
        found.append("cells stopped: " + "; ".join(errors))
    return found
