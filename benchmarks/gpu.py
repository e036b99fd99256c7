"""The book on a GPU: every claim beside its stored value, times of the chapters, throughput of fine-tuning.

It needs no network, no Jupyter and no package that is not imported: a chapter that lacks one is listed with
the reason. What is found is written after each step, so that a stop loses little. `make gpu` runs it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks import chapters, measure, throughput
from transferbook import runtime
from transferbook.data import assets

CHAPTER_SECONDS, TEST_SECONDS = 240, 200
CPU_ALONE = {"CUDA_VISIBLE_DEVICES": ""}
NUMBER = r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?"
STORED = re.compile(
    rf"^(?P<name>\w+) = (?P<value>{NUMBER})(?: \[(?P<low>{NUMBER}), (?P<high>{NUMBER})\])?.*\bholds: ", re.M
)
LIBRARIES = ("numpy", "pandas", "scikit-learn", "timm", "torch", "torchvision", "transformers")
TESTS = ("runtime", "training", "checkpoints", "transfer", "adaptation", "transformer", "decoder", "lora")


# --- chapters ----------------------------------------------------------------------------------------------


def stored_claims(path: Path) -> dict[str, dict[str, float | None]]:
    """Name of each claim in a notebook's stored outputs -> its value and, of an interval, its ends."""
    outputs = [output for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
               for output in cell.get("outputs", []) if output["output_type"] == "stream"]  # fmt: skip
    text = "".join("".join(output["text"]) + "\n" for output in outputs)
    return {found["name"]: {part: found[part] and float(found[part].replace(",", ""))
                            for part in ("value", "low", "high")}
            for found in STORED.finditer(text)}  # fmt: skip


def run_chapter(path: Path, environment: dict[str, str], seconds: float) -> dict[str, Any]:
    """What `as_script` reports of a chapter in a process of its own.

    Of a chapter that was stopped or died, `seconds` is None, `claims` are those that it came to, and `error`
    says in which cell it was.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "benchmarks.as_script", str(path), str(report)]
        threads = {name: "1" for name in measure.FIXED if name.endswith("_THREADS")}
        where = {"PYTHONPATH": os.pathsep.join([str(measure.ROOT), os.environ.get("PYTHONPATH", "")])}
        try:
            done = subprocess.run(command, cwd=measure.ROOT, env=os.environ | threads | where | environment,
                                  capture_output=True, text=True, timeout=seconds)  # fmt: skip
        except subprocess.TimeoutExpired:
            end = f"stopped after {seconds:.0f} seconds"
        else:
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            end = f"ended with status {done.returncode}: {last}"
        found = {"claims": [], "seconds": None, "error": "no cell"}
        if report.exists():
            found = json.loads(report.read_text(encoding="utf-8"))
        if found["seconds"] is None:
            found["error"] = f"{end}, in {found['error']}"
        return found


def own_cache(folder: Path) -> dict[str, str]:
    """The environment of a side with a cache of its own: the wheels and the drawn pictures are shared.

    So neither side takes over features that the other computed. Within a side, chapters share theirs.
    """
    shared = assets.cache_dir()
    folder.mkdir()
    for name in ("wheels", "rendered"):
        (shared / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(shared / name)
    return {"TRANSFERBOOK_CACHE": str(folder)}


def run_chapters(
    paths: list[Path],
    sides: dict[str, dict[str, str]],
    until: float,
    jobs: int,
    keep: Callable[[str, str, dict[str, Any]], None],
) -> None:
    """Run each chapter on each side, several at a time, one side after the other.

    Args:
        paths: the notebooks.
        sides: `"gpu"` and `"cpu"`, each with what it adds to the environment.
        until: no chapter starts after this `time.monotonic()`, and none runs beyond it.
        jobs: chapters at a time; they share the GPU, so times are those of a busy machine.
        keep: called with the chapter's name, `"gpu"` or `"cpu"`, and the report, by one thread at a time.
    """

    def one(task: tuple[str, Path]) -> tuple[str, str, dict[str, Any]]:
        side, path = task
        left = min(until - time.monotonic(), CHAPTER_SECONDS)
        if left <= 0:
            return path.stem, side, {"claims": [], "seconds": None, "error": "not run: no time was left"}
        return path.stem, side, run_chapter(path, sides[side], left)

    with ThreadPoolExecutor(jobs) as pool:
        tasks = [pool.submit(one, (side, path)) for side in sides for path in paths]
        for task in as_completed(tasks):
            keep(*task.result())


def side_by_side(path: Path, reports: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One chapter: its seconds and errors on either side, and a row for each claim.

    A row has the stored value with its ends and what either side found; `within` says whether the GPU's value
    lies in the stored interval, None where there is none. Claims of one name keep the last, as the page does.
    """
    found = {side: {entry["name"]: entry for entry in report["claims"]} for side, report in reports.items()}
    rows = []
    stored = stored_claims(path)
    for name in [*stored, *(name for name in found.get("gpu", {}) if name not in stored)]:
        row = {"name": name, "stored": stored.get(name)}
        row |= {side: entries.get(name) for side, entries in found.items()}
        within = None
        if stored.get(name, {}).get("low") is not None and (row.get("gpu") or {}).get("value") is not None:
            within = stored[name]["low"] <= row["gpu"]["value"] <= stored[name]["high"]
        rows.append(row | {"within": within})
    return {
        "chapter": path.stem,
        "seconds": {side: report["seconds"] for side, report in reports.items()},
        "errors": {side: _short(report["error"]) for side, report in reports.items() if report["error"]},
        "claims": rows,
    }


# --- the whole ---------------------------------------------------------------------------------------------


def run_tests(seconds: float) -> dict[str, Any]:
    """The package's tests of what trains, with the GPU; the last line of pytest's report and what failed."""
    files = [f"tests/test_{name}.py" for name in TESTS]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    try:
        done = subprocess.run(command, cwd=measure.ROOT, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"files": files, "summary": f"stopped after {seconds:.0f} seconds", "failed": []}
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines() or ["no word"]
    return {"files": files, "summary": lines[-1].strip("= "),
            "failed": [line for line in lines if line.startswith(("FAILED", "ERROR"))]}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Measure what was asked for and write it; 0 if every claim that was computed on the GPU holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="stop after so many (default 10)")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 1) - 2),
                        help="chapters at a time (default: all cores but two)")  # fmt: skip
    parser.add_argument("--only", metavar="TEXT", default="", help="chapters whose path has this text in it")
    parser.add_argument("--out", type=Path, default=measure.RESULTS / "gpu.json", help="the record")
    parser.add_argument("--page", type=Path, help="a page of the book, written at the end")
    parser.add_argument("--again", action="store_true", help="measure nothing, write the record's page again")
    parser.add_argument("--dry", action="store_true", help="without a GPU: try the way, at toy sizes")
    given = parser.parse_args(arguments)
    if given.again:
        if not given.page or not given.out.is_file():
            parser.error(f"--again needs the record {given.out.name} and --page, the page to be written.")
        given.page.write_text(page(json.loads(given.out.read_text(encoding="utf-8"))), encoding="utf-8")
        return 0
    if runtime.device().type != "cuda" and not given.dry:
        parser.error("There is no GPU here; --dry tries the way without one.")
    paths = [path for path in chapters.notebooks() if given.only in str(path.relative_to(measure.ROOT))]
    if not paths:
        parser.error(f"No chapter has {given.only!r} in its path.")
    until = time.monotonic() + 60 * given.minutes
    result: dict[str, Any] = {
        "dry": given.dry, "commit": measure._commit(), "machine": runtime.describe(),
        "versions": {name: _version(name) for name in LIBRARIES}, "jobs": given.jobs,
        "throughput": [], "tests": None, "chapters": [],
    }  # fmt: skip

    def write() -> None:
        partial = given.out.with_suffix(".partial")
        partial.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(given.out)

    sizes = throughput.Sizes(4, 2, 1, 1)
    if not given.dry:
        sizes = throughput.Sizes(batch=256, steps=25, epochs=4, rounds=3)
    for task in throughput.TASKS:  # before anything else is at work
        result["throughput"].append(throughput.measure(task, sizes))
        write()
    reports: dict[str, dict[str, dict[str, Any]]] = {path.stem: {} for path in paths}

    def keep(name: str, side: str, report: dict[str, Any]) -> None:
        reports[name][side] = report
        result["chapters"] = [side_by_side(path, reports[path.stem]) for path in paths if reports[path.stem]]
        write()
        print(f"{side} {name}: {report['seconds']} s, {report['error'] or 'no error'}", flush=True)

    with tempfile.TemporaryDirectory() as caches, ThreadPoolExecutor(1) as beside:
        seconds = min(TEST_SECONDS, until - time.monotonic())
        tests = None if given.dry else beside.submit(run_tests, seconds)
        sides = {"gpu": {}, "cpu": CPU_ALONE}
        sides = {side: more | own_cache(Path(caches, side)) for side, more in sides.items()}
        run_chapters(paths, sides, until - 10, given.jobs, keep)
        result["tests"] = tests and tests.result()
    write()
    print(f"\n{summary(result)}\n{given.out}")
    if given.page:
        given.page.write_text(page(result), encoding="utf-8")
    return int(any(not (row.get("gpu") or {"holds": True})["holds"] for row in _claims(result)))


def summary(result: dict[str, Any]) -> str:
    """What a record says in a few lines: which claims hold, which do not, what did not run, throughput."""
    rows = [row for row in _claims(result) if row.get("gpu")]
    fails = [row["gpu"]["said"] for row in rows if not row["gpu"]["holds"]]
    inside = [row["within"] for row in rows if row["within"] is not None]
    unrun = [(one["chapter"], one["errors"].get("gpu")) for one in result["chapters"]]
    return "\n".join([
        f"{len(rows) - len(fails)} of {len(rows)} claims hold on {result['machine']['device_name']}; "
        f"{sum(inside)} of {len(inside)} values lie in the stored interval.",
        *fails,
        *(f"{chapter}: {error}" for chapter, error in unrun if error),
        *(f"{one['task']}: fit reaches {one['ratio']:.2f} of the ceiling" for one in result["throughput"]),
    ])  # fmt: skip


def page(result: dict[str, Any]) -> str:
    """The record as a page of the book, in Markdown."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version)
    paths = {path.stem: path.relative_to(measure.ROOT).with_suffix("") for path in chapters.notebooks()}
    rows, fails, stops, details = [], [], [], []
    for one in result["chapters"]:
        name, claims = one["chapter"], [row for row in one["claims"] if row.get("gpu")]
        inside = [row["within"] for row in claims if row["within"] is not None]
        seconds = [f"`{value:.0f}`" if value else "-" for value in map(one["seconds"].get, ("cpu", "gpu"))]
        holds = f"`{sum(row['gpu']['holds'] for row in claims)} of {len(claims)}`"
        link = f"[{name}](/{paths[name].as_posix()})" if name in paths else name
        rows.append([link, *seconds, holds, f"`{sum(inside)} of {len(inside)}`",
                     "in part" if "gpu" in one["errors"] else "to its end"])  # fmt: skip
        fails += [f"- `{name}`: `{row['gpu']['said']}`" for row in claims if not row["gpu"]["holds"]]
        stops += [f"- `{name}`: `{one['errors']['gpu']}`"] if "gpu" in one["errors"] else []
        if claims:
            values = [[f"`{row['name']}`", *map(_value, (row["stored"], row.get("cpu"), row["gpu"]))]
                      for row in claims]  # fmt: skip
            head = ["claim", "stored", "CPU, there", "GPU"]
            details += [f"::::{{dropdown}} {name}", *_table(head, values), "::::", ""]
    ways = ("fit", "fit, compiled", "resident batches", "resident batches, compiled")
    rates = []
    for one in result["throughput"]:
        found = map(one["examples_per_second"].get, ways)
        rates.append(
            [one["task"], *(f"`{rate:,.0f}`" if rate else "-" for rate in found), f"`{one['ratio']:.2f}`"]
        )
    held = re.sub(r"\d+ of \d+", r"`\g<0>`", summary(result).partition("\n")[0])
    known = [(row["stored"]["value"], row["gpu"]["value"]) for row in _claims(result)
             if row["stored"] and row.get("gpu") and row["gpu"]["value"] is not None]  # fmt: skip
    moved = sum(abs(found - stored) > abs(stored) / 50 for stored, found in known)
    came = sum(bool(row.get("gpu")) for row in _claims(result))
    ended = sum("gpu" not in one["errors"] for one in result["chapters"])
    return "\n".join([
        "# CPU and GPU, side by side", "",
        f"Do the book's claims hold on a GPU? The run came to `{came} of {len(_claims(result))}` of them: "
        f"{held} `{ended} of {len(result['chapters'])}` chapters "
        f"ran to their end. Of `{len(known)}` values `{moved}` differ from the stored ones by more than a "
        "fiftieth; many of the others do not depend on the machine, as where a page reads the stored rows "
        "of a study.", "",
        f"The code of the chapters ran on one machine, with its {machine['device_name']} and, as far as the "
        f"time went, without, {result['jobs']} chapters at a time on {machine['cores']} cores, one thread "
        "each. So seconds are those of a busy machine, on both sides. That a value lies in the stored "
        "interval says little: the interval speaks of other seeds, and the seeds are the same. One outside "
        "breaks no claim. "
        "`make gpu` measures this and writes the page.", "",
        f"Commit `{result['commit'][:12]}`; `Python {machine['python']}, {versions}`.", "",
        *(f"- {remark}" for remark in result.get("remarks", [])), "",
        "## Claims and seconds", "",
        *_table(["chapter", "CPU, s", "GPU, s", "claims that hold", "in the stored interval", "ran"], rows),
        "", "## What did not hold", "", *(fails or ["Nothing."]),
        "", "## What ended early", "", *(stops or ["Nothing."]),
        "", "## Throughput", "",
        "Examples a second of fine-tuning a whole network, beside the fastest that was found for this "
        "network on this machine: one batch that stays on the GPU, nothing recorded. `fit` moves and "
        "shuffles examples.", "",
        *_table(["task", *ways, "best over best"], rates),
        "", "## Every claim", "", *details,
    ])  # fmt: skip


def _short(error: str) -> str:
    """The first line, without colours and without the folders of the machine."""
    return re.sub(r"\x1b\[\d+m|(?<![\w.])/(?:[\w.-]+/)+", "", error.partition("\n")[0])


def _value(found: dict[str, Any] | None) -> str:
    """A value with its ends, if it has some; an equality is told by whether it holds."""
    if found is None:
        return "-"
    if found["value"] is None:
        return "equal" if found["holds"] else "not equal"
    if found["low"] is None or found["low"] == found["high"]:
        return f"`{found['value']:.4g}`"
    return f"`{found['value']:.3g} [{found['low']:.3g}, {found['high']:.3g}]`"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _claims(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for one in result["chapters"] for row in one["claims"]]


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
