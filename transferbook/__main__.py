"""Commands: `python -m transferbook assets|study|classify|export|card|life|costs|serve|doctor|catalogue`."""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any, NoReturn

from transferbook import __version__
from transferbook.data import assets
from transferbook.program import card_command, cost_command, export_command, life_command
from transferbook.program import commands as classify
from transferbook.serving import serve_command

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "book" / "data_and_models.md"
CARDS = ROOT / "book" / "cards.md"
MARK = "% Below this line: written by `python -m transferbook catalogue`.\n"
# kind of asset -> module
LOADERS = {
    "table": "frames", "data": "datasets", "corpus": "corpora", "model": "backbones",
    "language": "language_models",
}  # fmt: skip
MEGABYTE = 1e6
COMFORT = 2e9  # bytes of free disk for the assets, unpacked and as features, and some peace of mind


class UsageError(Exception):
    """What was typed makes no sense; the message is one sentence."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; `python -m transferbook --help` shows what there is.")


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 for success, 1 for a problem, 2 for a wrong name."""
    try:
        options = _parser().parse_args(arguments)
        return options.command(options)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except assets.AssetError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on where it was.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m transferbook", description="The book's data, models and studies.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("assets", help="fetch, list or verify the data sets and models")
    command.add_argument("action", nargs="?", default="fetch", help="fetch (default), list, verify or path")
    command.add_argument("names", nargs="*", metavar="NAME", help="an asset; default: all but the optional")
    command.set_defaults(command=_assets)

    command = commands.add_parser("study", help="compute the missing rows of a study; list or check all")
    command.add_argument("name", metavar="NAME", help="a study; or list, or check")
    command.add_argument("--jobs", type=int, metavar="N", help="how many rows to compute at a time")
    command.add_argument("--ray", metavar="ADDRESS", help="of a Ray cluster: HOST:PORT, or auto")
    command.set_defaults(command=_study)

    command = commands.add_parser("classify", help="train a classifier on pictures or texts of your own")
    classify.add_to(command)

    command = commands.add_parser("export", help="write a trained classifier as an ONNX file, without torch")
    export_command.add_to(command)

    command = commands.add_parser("card", help="write a card of a model: its data, scores, costs and limits")
    card_command.add_to(command)

    command = commands.add_parser("life", help="take one model from pretrained to exported, and measure it")
    life_command.add_to(command)

    command = commands.add_parser("costs", help="say what a transformer takes: parameters, memory, training")
    cost_command.add_to(command)

    command = commands.add_parser("serve", help="put a classifier or a language model behind an address")
    serve_command.add_to(command)

    command = commands.add_parser("doctor", help="say what this machine has, and what to do next")
    command.set_defaults(command=_doctor)

    command = commands.add_parser("catalogue", help="write the pages of data, models and their cards")
    command.set_defaults(command=_catalogue)
    return parser


def _assets(options: argparse.Namespace) -> int:
    actions = {"list": _list, "fetch": _fetch, "verify": _verify, "path": _path}
    if options.action not in actions:
        raise UsageError(f"There is no action {options.action!r}; the actions are {', '.join(actions)}.")
    known = assets.catalogue()
    for name in options.names:
        if name not in known:
            raise UsageError(f"There is no asset {name!r}; the assets are {', '.join(known)}.")
    return actions[options.action](options.names)


def _list(names: list[str]) -> int:
    for name in names or assets.catalogue():
        asset = assets.lookup(name)
        state = "ready" if assets.is_ready(name) else "optional" if asset.optional else "to fetch"
        print(f"{name:18} {_size(asset.size):>7}  {state:8}  {asset.title}")
        if names:
            print("\n".join(f"    {member}" for member in asset.members))
    return 0


def _fetch(names: list[str]) -> int:
    chosen = names or assets.required()
    total = sum({path: path.stat().st_size for path in assets.fetch(chosen)}.values())
    print(f"{', '.join(chosen)}: ready in {assets.cache_dir()} ({total / MEGABYTE:.0f} MB).")
    return 0


def _verify(names: list[str]) -> int:
    problems = assets.verify(names or None)
    chosen = names or assets.required()
    print("\n".join(problems) or f"{', '.join(chosen)}: whole.", file=sys.stderr if problems else sys.stdout)
    return 1 if problems else 0


def _path(names: list[str]) -> int:
    if len(names) != 1:
        raise UsageError(f"`path` takes one asset; the assets are {', '.join(assets.catalogue())}.")
    print(assets.wheel(names[0]))
    return 0


def _study(options: argparse.Namespace) -> int:
    from transferbook.evidence import runner, studies

    if options.jobs is not None and options.jobs < 1:
        raise UsageError(f"--jobs is {options.jobs}; it must be at least 1.")
    if options.name in ("list", "check"):
        return _review(check=options.name == "check")
    if options.name not in studies.names():
        known = ", ".join(studies.names()) or "none yet"
        raise UsageError(f"There is no study {options.name!r}; the studies are {known}.")
    try:
        computed = runner.run(options.name, jobs=options.jobs, ray=options.ray)
    except studies.StudyError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.name}: complete; rows computed now: {computed}.")
    return 0


def _review(check: bool) -> int:
    """A line per study; with `check`, the exit code tells whether all are complete and fresh."""
    from transferbook.evidence import studies

    failed = False
    for name in studies.names():
        try:
            problems = studies.problems(name)
        except studies.StudyError as error:
            problems = [str(error)]
        failed |= bool(problems)
        print(f"{name}: {' '.join(problems) or 'complete and fresh.'}")
    return int(check and failed)


def _doctor(_: argparse.Namespace) -> int:
    advice = [*_examine_machine(), *_examine_cache()]
    print("\nWhat next:")
    for line in [*advice, "Read with `make book` and `make serve`; work with `make lab`."]:
        print(f"- {line}")
    return 0


def _examine_machine() -> list[str]:
    """Print Python, torch, device and memory; return advice."""
    print(f"book     {__version__}")
    print(f"Python   {platform.python_version()}")
    try:
        from transferbook import runtime
    except ImportError as error:
        print(f"torch    cannot be imported ({error})")
        return ["Install what the book needs: `make setup`."]
    try:
        facts = runtime.describe()
    except ValueError as error:
        raise UsageError(str(error)) from error
    memory = f", {facts['device_memory_gb']} GB" if "device_memory_gb" in facts else ""
    print(f"torch    {facts['torch']}")
    print(f"device   {facts['device']}: {facts['device_name']}{memory}; {facts['cores']} cores")
    print(f"memory   {facts['memory_gb']} GB")
    print(f"scale    {facts['scale']}")
    advice = []
    if facts["device"] == "cpu" and facts["scale"] == "small":
        advice.append("There is no GPU, and none is needed: at this scale everything runs on the CPU.")
    if facts["device"] == "cpu" and facts["scale"] == "full":
        advice.append("Scale full without a GPU is slow: unset TRANSFERBOOK_SCALE for the small one.")
    if facts["memory_gb"] < 4:
        advice.append("A notebook may need 4 GB of memory: close what else is running.")
    return advice


def _examine_cache() -> list[str]:
    """Print the state of the assets and the disk; return advice."""
    names, cache = assets.required(), assets.cache_dir()
    missing = [name for name in names if not assets.is_ready(name)]
    free = shutil.disk_usage(next(place for place in (cache, *cache.parents) if place.exists())).free
    print(f"assets   {len(names) - len(missing)} of {len(names)} ready in {cache}")
    print(f"disk     {free / 1e9:.1f} GB free there")
    advice = []
    if missing:
        advice.append(f"Fetch {', '.join(missing)}: `python -m transferbook assets`.")
    if free < COMFORT:
        advice.append("The disk is nearly full: free some, or set TRANSFERBOOK_CACHE to a folder on another.")
    return advice


def _catalogue(_: argparse.Namespace) -> int:
    for path, written in ((PAGE, data_page), (CARDS, cards_page)):
        path.write_text(written(), encoding="utf-8")
        print(f"Wrote {path}.")
    return 0


def cards_page() -> str:
    """The page `book/cards.md`: its introduction as it stands, then the cards written anew."""
    from transferbook.evidence.studies import StudyError
    from transferbook.program import book_cards

    try:
        return _introduction(CARDS) + book_cards.page()
    except (StudyError, ValueError) as error:
        raise UsageError(str(error)) from error


def _introduction(page: Path) -> str:
    """What was written by hand on a page, and the mark below it."""
    introduction, mark, _ = page.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise UsageError(f"{page} has lost the line {MARK.strip()!r}; put it back above what is written.")
    return introduction + mark


def data_page() -> str:
    """The page `book/data_and_models.md`: its introduction as it stands, then the catalogue written anew."""
    introduction = _introduction(PAGE)
    known = assets.catalogue()
    sizes = {asset.filename: asset.size for asset in known.values() if not asset.optional}
    page = f"\nThe default run fetches {len(sizes)} wheels, {sum(sizes.values()) / MEGABYTE:.0f} MB in all.\n"
    entries = dict.fromkeys(LOADERS, "")
    users = chapters_using(ROOT)
    for name, asset in known.items():
        module = LOADERS[asset.kind]
        at = "==" if asset.registry == "pypi" else "@"
        origin = f"`{asset.package}{at}{asset.version}`, {_size(asset.size)}"
        if others := [o.name for o in known.values() if o.filename == asset.filename and o is not asset]:
            origin += f" (the same wheel as `{', '.join(others)}`)"
        if asset.optional:
            origin += ", fetched by name only" + (", with npm" if asset.registry == "npm" else "")
        calls = asset.calls or (f"{module}.{name}",)
        entries[asset.kind] += _entry(vars(asset) | {"calls": calls, "origin": origin}, users)
    table = tomllib.loads(Path(assets.__file__).with_name("assets.toml").read_text(encoding="utf-8"))
    for other in table["also"].values():
        entries[other["kind"]] += _entry(other, users)
    data = entries["table"] + entries["data"] + entries["corpus"]
    models = entries["model"] + entries["language"]
    page += f"\n## Data sets\n{data}\n## Pretrained models\n{models}"
    return introduction + page


def _size(count: int) -> str:
    """A number of bytes, in whole MB or, below half of one, in whole kB."""
    return f"{count / MEGABYTE:.0f} MB" if count >= MEGABYTE / 2 else f"{count / 1e3:.0f} kB"


def _entry(about: dict[str, Any], users: dict[str, list[str]]) -> str:
    chapters = sorted({chapter for call in about["calls"] for chapter in users.get(call, [])})
    rows = {
        "Load it with": ", ".join(f"`{call}(…)`" for call in about["calls"]),
        "It comes from": about["origin"],
        "Licence": about["licence"],
        "Source": f"<{about['source']}>" if about["source"] else "",
        "Cite": f"{{cite}}`{about['citation']}`" if about["citation"] else "",
        "Used in": ", ".join(f"[](../{chapter})" for chapter in chapters) or "no chapter yet",
    }
    lines = "\n".join(f"- {label}: {text}" for label, text in rows.items() if text)
    return f"\n### {about['title']}\n\n{about['note'].strip()}\n\n{lines}\n"


def chapters_using(root: Path) -> dict[str, list[str]]:
    """Which notebooks call what: `{"datasets.newsgroups": ["notebooks/…/01_….ipynb", …], …}`.

    A notebook also uses what the studies use that it opens by name, and `digits.domains` loads three sets.
    """
    found: dict[str, list[str]] = {}
    others = [call.partition(".")[0] for asset in assets.catalogue().values() for call in asset.calls]
    loading = re.compile(rf"\b(?:{'|'.join({*LOADERS.values(), *others})})\.\w+(?=\()")
    for path in sorted((root / "notebooks").rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        for name in set(re.findall(r"studies\.\w+\(\s*[\"'](\w+)[\"']", source)):
            study = root / "studies" / f"{name}.py"
            if study.is_file():
                source += "\n" + study.read_text(encoding="utf-8")
        calls = set(loading.findall(source))
        if re.search(r"\bdigits\.domains\(", source):
            calls |= {"datasets.rendered_digits", "datasets.optdigits", "datasets.mnist_5k"}
        for call in sorted(calls):
            found.setdefault(call, []).append(path.relative_to(root).as_posix())
    return found


if __name__ == "__main__":
    sys.exit(main())
