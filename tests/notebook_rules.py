"""Rules that every notebook of the book keeps, as plain functions.

A rule takes a parsed notebook (nbformat 4) or a folder and returns its problems, one sentence each; an empty
list means that the rule is kept. `NOTEBOOK_RULES` holds those that need the notebook alone. Cells are counted
from 1. `prose_rules` explains the rule on numbers. A notebook's metadata may declare, under `transferbook`:

- `home_of`: names of the package that this chapter may write out, because they are its lesson;
- `headline`: the name of its main claim;
- `sabotage`: how to break it, where shuffled labels do not (see `sabotage/harness.py`).
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from prose_rules import directives, holds_python, inline_prose, parse, typed_numbers_in

from transferbook.evidence import claims

LONGEST_CELL = 25
SHORTEST_ALT = 40
FEWEST_CLAIMS = 3
FEWEST_SEEDS = 5
MAY_RAISE = {"raises-exception", "nbval-raises-exception"}
NOT_RUN = {"nbval-skip", "skip-execution"}
PRODUCTS = {"program"}  # rooms of the package on top of those that teach
# What the box of the first cell must speak of, and a word by which it is known.
BOX = {
    "what one will be able to do": "able to",
    "what one needs first": "need",
    "the run time": "run time",
    "the data": "data",
}


def read(path: Path) -> NotebookNode:
    """The notebook at `path`, in nbformat 4."""
    return nbformat.read(path, as_version=4)


def notebooks(root: Path) -> list[Path]:
    """Every notebook of the book, sorted."""
    found = (root / "notebooks").rglob("*.ipynb")
    return sorted(path for path in found if ".ipynb_checkpoints" not in path.parts)


def declared(notebook: NotebookNode) -> dict[str, Any]:
    """What the notebook declares to these rules."""
    return notebook.metadata.get("transferbook", {})


def tags(cell: NotebookNode) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", []))


def cells(notebook: NotebookNode, kind: str) -> Iterator[tuple[int, NotebookNode]]:
    """The cells of a kind ("code" or "markdown") that are not blank, with their numbers."""
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == kind and cell.source.strip():
            yield number, cell


def tree(cell: NotebookNode) -> ast.Module:
    """The syntax tree of a code cell, magics translated; an empty one if the cell is not Python."""
    try:
        return ast.parse(TransformerManager().transform_cell(cell.source))
    except SyntaxError:  # stored as an error of the cell, which is `run_problems`' affair
        return ast.Module(body=[], type_ignores=[])


def called(node: ast.AST) -> str | None:
    """`f` for a call of `f(...)` or `module.f(...)`, else None."""
    return getattr(node.func, "attr", getattr(node.func, "id", None)) if isinstance(node, ast.Call) else None


def arguments(call: ast.Call) -> dict[str | int | None, ast.expr]:
    """The arguments of a call, by position and by keyword."""
    return dict(enumerate(call.args)) | {keyword.arg: keyword.value for keyword in call.keywords}


def stored_text(cell: NotebookNode, stream: str | None = None) -> str:
    """All text of a cell's stored outputs, or that of one stream only."""
    parts: list[str] = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            parts += [output.text] if stream in (None, output.name) else []
        elif stream is None and output.output_type == "error":
            parts += output.traceback
        elif stream is None:
            parts += [data for kind, data in output.data.items() if "text" in kind or "svg" in kind]
    return "\n".join(parts)


# --- claims ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClaimCall:
    """A call of `claim` or `claim_equal` in a notebook; one in a loop is one call.

    Attributes:
        cell: number of its cell.
        name: a regular expression for the claim's name; where an f-string has a field, `.+`.
        kind: "comparison", "chance", "agreement", "fact", or "equal" for `claim_equal`.
        sheltered: whether its failure could pass unseen: inside `try` or `suppress`, or in a cell that may
            raise or is not run.
    """

    cell: int
    name: str
    kind: str
    sheltered: bool

    def covers(self, name: str) -> bool:
        """Whether this call can have made the claim `name`."""
        return re.fullmatch(self.name, name) is not None


def claim_calls(notebook: NotebookNode) -> list[ClaimCall]:
    """Every call of `claim` and `claim_equal` in the notebook, in order."""
    found: list[ClaimCall] = []
    for number, cell in cells(notebook, "code"):
        unseen = tags(cell) & (MAY_RAISE | NOT_RUN) or re.search("NBVAL_(RAISES|SKIP)", cell.source)
        found += _claims_in(tree(cell), number, bool(unseen))
    return found


def _claims_in(node: ast.AST, cell: int, sheltered: bool) -> Iterator[ClaimCall]:
    sheltered = sheltered or isinstance(node, ast.Try | ast.TryStar) or _suppresses(node)
    if called(node) in {"claim", "claim_equal"}:
        given = arguments(node)
        kind = "equal" if called(node) == "claim_equal" else getattr(given.get("kind"), "value", "comparison")
        yield ClaimCall(cell, _name_pattern(given.get(0, given.get("name"))), str(kind), sheltered)
    for child in ast.iter_child_nodes(node):
        yield from _claims_in(child, cell, sheltered)


def _suppresses(node: ast.AST) -> bool:
    items = node.items if isinstance(node, ast.With) else []
    return any(called(item.context_expr) in {"suppress", "raises"} for item in items)


def _name_pattern(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(re.escape(part.value) if isinstance(part, ast.Constant) else ".+" for part in parts)


def claim_lines(notebook: NotebookNode) -> dict[str, str]:
    """Name of each claim that held -> the line it printed, from the stored outputs."""
    text = "\n".join(stored_text(cell, "stdout") for _, cell in cells(notebook, "code"))
    return {line[1]: line[0] for line in re.finditer(r"^(\w+) = .*\bholds: .*$", text, re.M)}


def claim_problems(notebook: NotebookNode) -> list[str]:
    """Three claims at least; none unseen or too easy, each with its stored line, one of them the headline."""
    calls, lines = claim_calls(notebook), claim_lines(notebook)
    problems: list[str] = []
    if len(calls) < FEWEST_CLAIMS:
        problems.append(f"the notebook makes {len(calls)} claims, fewer than {FEWEST_CLAIMS}")
    for call in calls:
        if call.sheltered:
            problems.append(
                f"cell {call.cell}: {call.name} could fail unseen, in a try or a cell that may raise"
            )
        if not any(map(call.covers, lines)):
            problems.append(f"cell {call.cell}: no stored line says that the claim {call.name} holds")
    problems += [line for line in lines.values() if claims.TOO_EASY in line]
    headline = declared(notebook).get("headline")
    if not any(call.covers(str(headline)) for call in calls):
        problems.append(f"the metadata's transferbook.headline is {headline!r}; name one of the claims")
    return problems


def seed_problems(notebook: NotebookNode) -> list[str]:
    """The stored line of every comparison names at least five seeds.

    Or five of what the page's sentences speak of, which its metadata names: `"units": ["speakers"]`.
    """
    problems: list[str] = []
    units = "|".join(map(re.escape, ["seeds", *declared(notebook).get("units", [])]))
    lines = claim_lines(notebook)
    for call in claim_calls(notebook):
        for name in filter(call.covers, lines if call.kind == "comparison" else ()):
            seeds = re.search(rf"\bover (\d[\d,]*) ({units})\b", lines[name])
            if seeds is None:
                problems.append(f"cell {call.cell}: the comparison {name} does not say over how many seeds")
            elif int(seeds[1].replace(",", "")) < FEWEST_SEEDS:
                problems.append(f"cell {call.cell}: the comparison {name} is over only {seeds[1]} {seeds[2]}")
    return problems


# --- stored runs -------------------------------------------------------------------------------------------


def run_problems(notebook: NotebookNode) -> list[str]:
    """Every code cell was run, from top to bottom, and none stores an error unless it is meant to raise."""
    problems: list[str] = []
    last = 0
    for number, cell in cells(notebook, "code"):
        if cell.execution_count is None:
            problems.append(f"cell {number} was never run")
        elif cell.execution_count <= last:
            problems.append(f"cell {number} was run before a cell above it; run all from top to bottom")
        last = cell.execution_count or last
        if tags(cell) & NOT_RUN or "NBVAL_SKIP" in cell.source:
            problems.append(f"cell {number} is marked so that tests do not run it")
        failed = any(output.output_type == "error" for output in cell.outputs)
        if failed and not tags(cell) & MAY_RAISE:
            problems.append(f"cell {number} stores an error")
    return problems


def length_problems(notebook: NotebookNode) -> list[str]:
    """A code cell has at most 25 lines that are not blank."""
    problems: list[str] = []
    for number, cell in cells(notebook, "code"):
        length = sum(bool(line.strip()) for line in cell.source.splitlines())
        if length > LONGEST_CELL:
            problems.append(f"cell {number} has {length} lines, more than {LONGEST_CELL}")
    return problems


_MACHINE_PATH = re.compile(
    r"(?<![\w.:/~-])/(?:home|root|work|tmp|Users|private|mnt)(?![\w.])[^\s'\"<>),]*|\b[A-Z]:\\[^\s'\"<>),]+"
)
_ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # in tracebacks, where a colour hides the start of a path
_PROGRESS_BAR = re.compile(r"\d+%\||\d(?:it|row|B|batch)/s|s/(?:it|row|batch)\b|\?(?:it|B)/s|\d+it \[")


def output_problems(notebook: NotebookNode) -> list[str]:
    """Stored outputs name no absolute path of a machine, and stderr holds nothing but progress bars."""
    problems: list[str] = []
    for number, cell in cells(notebook, "code"):
        paths = _MACHINE_PATH.findall(_ANSI_COLOUR.sub("", stored_text(cell)))
        problems += [f"cell {number} stores a path of one machine: {path}" for path in paths]
        for line in re.split(r"[\r\n]+", stored_text(cell, "stderr")):
            if line.strip() and not _PROGRESS_BAR.search(line):
                problems.append(f"cell {number} stores a warning: {line.strip()[:120]}")
                break
    return problems


def checked_output_problems(notebook: NotebookNode) -> list[str]:
    """A cell tagged nbval-check-output has an output to compare."""
    return [
        f"cell {number} is tagged nbval-check-output but stores no output"
        for number, cell in cells(notebook, "code")
        if "nbval-check-output" in tags(cell) and not cell.outputs
    ]


def alt_problems(notebook: NotebookNode) -> list[str]:
    """Every image output has an alt text of its own, in the cell's metadata (mystnb.image.alt)."""
    problems: list[str] = []
    seen: dict[str, int] = {}
    for number, cell in cells(notebook, "code"):
        images = sum(
            any(kind.startswith("image/") for kind in output.get("data", {})) for output in cell.outputs
        )
        alt = str(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")).strip()
        if not images:
            continue
        if images > 1:
            problems.append(f"cell {number} draws {images} images with one alt text; split the cell")
        if len(alt) < SHORTEST_ALT:
            problems.append(f"cell {number}: an alt text of {len(alt)} characters, fewer than {SHORTEST_ALT}")
        elif re.match(r"(?i)figure\b|(image|picture|plot)\b\s*(\d|of\b|:)|\S*/|\S+\.(png|svg|jpe?g)\b", alt):
            problems.append(f"cell {number}: the alt text begins with {alt.split()[0]!r}; say what one sees")
        elif alt in seen:
            problems.append(f"cells {seen[alt]} and {number} have the same alt text")
        seen.setdefault(alt, number)
    return problems


# --- pages -------------------------------------------------------------------------------------------------


def typed_numbers(notebook: NotebookNode) -> list[str]:
    """No result-like number is typed into prose, alt texts, captions, titles of figures, `show`, `table`."""
    problems: list[str] = []
    for number, cell in cells(notebook, "markdown"):
        problems += [f"cell {number}: {problem}" for problem in typed_numbers_in(cell.source)]
    for number, cell in cells(notebook, "code"):
        shown = cell.metadata.get("mystnb", {})
        said = [shown.get("image", {}).get("alt", ""), shown.get("figure", {}).get("caption", "")]
        for node in ast.walk(tree(cell)):
            if called(node) in {"set_title", "suptitle", "title"}:
                values = [getattr(argument, "value", None) for argument in arguments(node).values()]
                said += [value for value in values if isinstance(value, str)]
            if called(node) in {"show", "glue"} and _typed(arguments(node).get(1)):
                problems.append(f"cell {number}: {ast.unparse(node)} glues a typed number")
            if called(node) == "table":
                said += _typed_into_table(node, tree(cell))
        problems += [f"cell {number}: {problem}" for text in said for problem in typed_numbers_in(str(text))]
    return problems


def _typed_into_table(call: ast.Call, cell: ast.Module) -> list[str]:
    """Texts and decimal numbers in the call that makes a table, or in its rows in the same cell."""
    given = list(arguments(call).values())[1:]
    names = {node.id for value in given for node in ast.walk(value) if isinstance(node, ast.Name)}
    for node in ast.walk(cell):
        if isinstance(node, ast.Assign) and names & {_root(target) for target in node.targets}:
            given.append(node.value)
    constants = [node.value for value in given for node in ast.walk(value) if isinstance(node, ast.Constant)]
    return [str(value) for value in constants if isinstance(value, str | float)]


def _root(target: ast.expr) -> str | None:
    """`rows` for `rows`, `rows["a"]` and `rows["a"]["b"]`."""
    while isinstance(target, ast.Subscript):
        target = target.value
    return getattr(target, "id", None)


def _typed(node: ast.expr | None) -> bool:
    node = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def solution_problems(notebook: NotebookNode) -> list[str]:
    """Code in a solution is a code cell between `solution-start` and `solution-end`, so that it is run."""
    problems: list[str] = []
    opened: int | None = None
    for number, cell in cells(notebook, "markdown"):
        solutions = [cell.source] if opened or re.search("<summary>[^<]*solution", cell.source, re.I) else []
        for found in directives(cell.source):
            if found.name == "solution-start":
                opened = number
                solutions.append(cell.source)
            elif found.name == "solution-end":
                if opened is None:
                    problems.append(f"cell {number} ends a solution that was not started")
                opened = None
            elif found.name == "solution" or "solution" in found.title.lower():
                solutions.append(found.body)
        if any(map(holds_python, solutions)):
            problems.append(f"cell {number}: Python in a solution's text is never run; gate a code cell")
    if opened is not None:
        problems.append(f"the solution started in cell {opened} is never ended")
    return problems


def opening_problems(notebook: NotebookNode) -> list[str]:
    """The first cell has the page's title, the question, and the box with what DESIGN asks of it (`BOX`)."""
    if not notebook.cells or notebook.cells[0].cell_type != "markdown":
        return ["the first cell is not a text with a title, the question and its box"]
    first = notebook.cells[0].source
    titles = [
        number
        for number, cell in cells(notebook, "markdown")
        for token in parse(cell.source)
        if token.type == "heading_open" and token.tag == "h1"
    ]
    problems = [] if titles == [1] else ["the page needs one title (# …), in its first cell"]
    if not any("?" in inline_prose(token) for token in parse(first) if token.type == "inline"):
        problems.append("the first cell asks no question")
    boxes = [found for found in directives(first) if found.name in {"admonition", "note", "tip", "important"}]
    if not boxes:
        return [*problems, "the first cell has no box ({admonition})"]
    said = " ".join(f"{box.title} {box.body}" for box in boxes).lower()
    unsaid = {what: word for what, word in BOX.items() if word not in said}
    return problems + [f"the box does not say {what} ({word!r})" for what, word in unsaid.items()]


# --- the book as a whole -----------------------------------------------------------------------------------


def contents(root: Path) -> list[str]:
    """The pages of `_toc.yml`, in order, without their endings."""
    return list(_pages(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))))


def contents_problems(root: Path) -> list[str]:
    """Every page of `_toc.yml` exists, once, and every notebook under `notebooks/` is in it."""
    listed = contents(root)
    problems = [f"_toc.yml names {name} twice" for name, count in Counter(listed).items() if count > 1]
    files = {name for name in listed if any((root / f"{name}{end}").is_file() for end in (".md", ".ipynb"))}
    problems += [f"_toc.yml names {name}, but there is no such page" for name in sorted({*listed} - files)]
    present = [path.relative_to(root).with_suffix("").as_posix() for path in notebooks(root)]
    return problems + [f"{name}.ipynb is not in _toc.yml" for name in present if name not in listed]


def needed_pages(notebook: NotebookNode) -> list[str]:
    """The addresses that the box of the first cell links to under "You need"."""
    found: list[str] = []
    for box in directives(notebook.cells[0].source if notebook.cells else ""):
        term = ""
        defining = False
        for token in parse(box.body):
            defining = token.type == "dt_open" or (defining and token.type != "dt_close")
            if token.type == "inline" and defining:
                term = inline_prose(token)
            elif token.type == "inline" and term.strip().lower() == "you need":
                links = (child for child in token.children or [] if child.type == "link_open")
                found += [str(link.attrGet("href")) for link in links]
    return found


def need_problems(root: Path) -> list[str]:
    """Each page that a chapter links to under "You need" comes earlier in `_toc.yml`."""
    listed = contents(root)
    problems: list[str] = []
    for path in notebooks(root):
        name = path.relative_to(root).with_suffix("").as_posix()
        earlier = listed[: listed.index(name)] if name in listed else listed
        for address in needed_pages(read(path)):
            if re.match(r"[a-z]+:|#", address):
                continue
            target = Path(os.path.normpath(path.parent / address.partition("#")[0]))
            page = (
                target.relative_to(root).with_suffix("").as_posix()
                if target.is_relative_to(root)
                else address
            )
            if page not in earlier:
                problems.append(f"{name} needs {page}, which does not come before it in _toc.yml")
    return problems


def _pages(entry: Any) -> Iterator[str]:
    if isinstance(entry, dict):
        for key, value in entry.items():
            if key in {"root", "file"}:
                yield re.sub(r"\.(md|ipynb)$", "", str(value))
            else:
                yield from _pages(value)
    elif isinstance(entry, list):
        for item in entry:
            yield from _pages(item)


def public_names(package: Path) -> dict[str, str]:
    """Public function or class of the package -> its module, read from the sources.

    Without the products on top of it: chapters call these as a whole, and their parts have everyday names.
    """
    names: dict[str, str] = {}
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] in PRODUCTS:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                names[node.name] = path.stem
    return names


def defined_names(module: ast.Module) -> Iterator[str]:
    """Functions and classes that code defines outside of functions and classes, `name = lambda` included."""
    waiting: list[ast.AST] = list(module.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        else:
            inner = ast.stmt | ast.excepthandler | ast.match_case
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, inner)]


def redefinition_problems(notebook: NotebookNode, public: dict[str, str]) -> list[str]:
    """No function or class of the package is written again, but in the chapter that declares itself its home.

    Args:
        notebook: the notebook.
        public: names of the package and their modules, from `public_names`.
    """
    home = list(declared(notebook).get("home_of", []))
    problems = [f"home_of names {name}, which the package lacks" for name in home if name not in public]
    defined: set[str] = set()
    for number, cell in cells(notebook, "code"):
        for name in defined_names(tree(cell)):
            defined.add(name)
            if name in public and name not in home:
                problems.append(f"cell {number} redefines {name} of transferbook.{public[name]}; import it")
    return problems + [f"home_of names {name}, which no cell defines" for name in home if name not in defined]


_IMPORTER = """
import importlib, json, sys
asked = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        asked.append(event)
        raise OSError("this test has no network")
sys.addaudithook(hook)
for name in sys.argv[2:]:
    importlib.import_module(name)
with open(sys.argv[1], "w") as report:
    json.dump(asked, report)
"""


def import_problems(modules: Iterable[str], root: Path) -> list[str]:
    """Importing the modules in a fresh process prints nothing, asks no host and writes no file.

    The home, temporary and working folders of that process are empty and are looked at afterwards.

    Args:
        modules: dotted names.
        root: folder from which they are imported.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        home, scratch, here = watched = [Path(folder, name) for name in ("home", "scratch", "here")]
        for place in watched:
            place.mkdir()
        environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        environment |= {"HOME": str(home), "TMPDIR": str(scratch), "PYTHONPATH": str(root)}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", _IMPORTER, str(report), *modules]
        done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            return [f"an import fails: {done.stderr.strip()[-1500:]}"]
        problems = [f"importing asks the network ({event})" for event in json.loads(report.read_text())]
        problems += [
            f"importing prints {text.strip()[:300]!r}" for text in (done.stdout, done.stderr) if text
        ]
        written = [path for place in watched for path in place.rglob("*") if path.is_file()]
        return problems + [f"importing writes {path.relative_to(folder).as_posix()}" for path in written]


NOTEBOOK_RULES = {
    rule.__name__: rule
    for rule in (
        run_problems,
        length_problems,
        output_problems,
        checked_output_problems,
        alt_problems,
        claim_problems,
        seed_problems,
        typed_numbers,
        solution_problems,
        opening_problems,
    )
}
