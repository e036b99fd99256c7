"""Rules for the chapters that are written after the book's mould, as plain functions.

Every chapter is, and says so in its metadata: `"transferbook": {"mould": 2}`. Beside the rules of
`notebook_rules` it keeps these: few numbers in a sentence and in a stretch of prose, short cells where they
are visible, a study time in the box, questions before results, a self-check at the end, and claims out of
the way, in cells folded under "How we know". A claim that is itself the lesson may stand in the open: the
metadata names it, `"open_claims": ["gain"]`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode
from notebook_rules import arguments, called, cells, declared, tags, tree
from prose_rules import crowded_sentences, crowded_stretches, directives, prose, result_like, study_minutes

EXTENSIONS = Path(__file__).resolve().parents[1] / "book/_ext"
MOULD = 2
LONGEST_VISIBLE = 18
PREDICTIONS = (2, 3)
QUESTIONS = 5
FOLDED = {"hide-cell", "hide-input", "remove-cell", "remove-input"}
PROMPT = "How we know"
GLUING = {"claim", "claim_equal", "show", "table", "glue"}


def follows(notebook: NotebookNode) -> bool:
    """Whether the chapter declares that it is written after the mould."""
    return declared(notebook).get("mould") == MOULD


def mould_problems(notebook: NotebookNode) -> list[str]:
    """The declaration is one that these rules know, and claims in the open are claims that there are."""
    said, problems = declared(notebook), []
    if said.get("mould", MOULD) != MOULD:
        problems.append(f"the metadata's transferbook.mould is {said['mould']!r}; the mould is {MOULD}")
    names = {name for _, cell in cells(notebook, "code") for _, name in gluing_calls(cell, notebook)}
    return problems + [
        f"open_claims names {name}, which no cell glues"
        for name in said.get("open_claims", [])
        if name not in names
    ]


def sentence_problems(notebook: NotebookNode) -> list[str]:
    """A sentence holds at most two numbers."""
    return [
        f"cell {number}: {problem}"
        for number, cell in cells(notebook, "markdown")
        for problem in crowded_sentences(cell.source)
    ]


def stretch_problems(notebook: NotebookNode) -> list[str]:
    """300 words of prose hold at most twelve glued numbers."""
    return crowded_stretches("\n\n".join(cell.source for _, cell in cells(notebook, "markdown")))


def visible_length_problems(notebook: NotebookNode) -> list[str]:
    """A code cell that is seen without unfolding anything has at most 18 lines that are not blank."""
    problems: list[str] = []
    solutions = solution_cells(notebook)
    for number, cell in cells(notebook, "code"):
        length = sum(bool(line.strip()) for line in cell.source.splitlines())
        if length > LONGEST_VISIBLE and not tags(cell) & FOLDED and number not in solutions:
            problems.append(
                f"cell {number} shows {length} lines, more than {LONGEST_VISIBLE}; it has two ideas"
            )
    return problems


def solution_cells(notebook: NotebookNode) -> set[int]:
    """Numbers of the code cells between a folded `solution-start` and its `solution-end`."""
    found: set[int] = set()
    folded = False
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown":
            for part in directives(cell.source):
                if part.name in {"solution-start", "solution-end"}:
                    folded = part.name == "solution-start" and "dropdown" in part.options.get("class", "")
        elif folded:
            found.add(number)
    return found


def study_time_problems(notebook: NotebookNode) -> list[str]:
    """The box says how long the page takes to study, in minutes."""
    first = notebook.cells[0].source if notebook.cells else ""
    if study_minutes(first) is None:
        return ["the box does not say the study time in minutes (`Study time` / `: 40 to 60 minutes`)"]
    return []


def prediction_problems(notebook: NotebookNode) -> list[str]:
    """Two or three boxes ask the reader to predict a result."""
    boxes = [
        part
        for _, cell in cells(notebook, "markdown")
        for part in directives(cell.source)
        if part.name == "admonition" and "predict" in part.options.get("class", "").split()
    ]
    problems: list[str] = []
    if not PREDICTIONS[0] <= len(boxes) <= PREDICTIONS[1]:
        problems.append(f"{len(boxes)} boxes of class predict, not {PREDICTIONS[0]} or {PREDICTIONS[1]}")
    return problems + [
        f"the box {box.body.strip()[:50]!r} asks nothing" for box in boxes if "?" not in box.body
    ]


def self_check_problems(notebook: NotebookNode, path: Path) -> list[str]:
    """The page shows the five questions of the file beside it, once.

    Args:
        notebook: the notebook.
        path: its place; `NN_topic.check.yml` is beside `NN_topic.ipynb`.
    """
    expected = f"{path.stem}.check.yml"
    shown = [
        part.title.strip()
        for _, cell in cells(notebook, "markdown")
        for part in directives(cell.source)
        if part.name == "self-check"
    ]
    if shown != [expected]:
        return [f"the page shows the self-checks {shown}; it needs {{self-check}} {expected}, once"]
    try:
        questions = self_check().read(path.with_name(expected), expected)
    except ValueError as error:
        return [str(error)]
    problems: list[str] = []
    if len(questions) != QUESTIONS:
        problems.append(f"{expected} has {len(questions)} questions, not {QUESTIONS}")
    places = {[answer.right for answer in question.answers].index(True) for question in questions}
    if len(places) == 1:
        problems.append(f"the right answers of {expected} all stand in the same place")
    for question in questions:
        # A question may make up its numbers; feedback that states others would state a result.
        given = [question.text, *(answer.text for answer in question.answers)]
        made_up = {number for text in given for block in prose(text) for number in result_like(block)}
        for answer in question.answers:
            found = {number for block in prose(answer.feedback) for number in result_like(block)}
            problems += [
                f"{expected}: {number!r} of the feedback {answer.feedback[:50]!r} is not in the question"
                for number in sorted(found - made_up)
            ]
    return problems


def self_check():
    """The site's extension that reads the questions."""
    sys.path.insert(0, str(EXTENSIONS))
    try:
        import self_check
    finally:
        sys.path.remove(str(EXTENSIONS))
    return self_check


def folding_problems(notebook: NotebookNode) -> list[str]:
    """Claims and what is glued stand in cells tagged `hide-cell`, whose prompt is "How we know".

    The run time alone may stand in a cell that is removed.
    """
    problems: list[str] = []
    in_the_open = set(declared(notebook).get("open_claims", []))
    for number, cell in cells(notebook, "code"):
        names = [name for _, name in gluing_calls(cell, notebook) if name not in in_the_open]
        if not names or ("remove-cell" in tags(cell) and names == ["seconds"]):
            continue
        if "hide-cell" not in tags(cell):
            problems.append(f"cell {number} glues {', '.join(names)} in the open; tag it hide-cell")
            continue
        shown = cell.metadata.get("mystnb", {})
        if {shown.get("code_prompt_show"), shown.get("code_prompt_hide")} != {PROMPT}:
            problems.append(f"cell {number}: set mystnb.code_prompt_show and code_prompt_hide to {PROMPT!r}")
    return problems


def gluing_calls(cell: NotebookNode, notebook: NotebookNode) -> Iterator[tuple[str, str]]:
    """Function and glued name of each call in a cell that glues; the name as written where it is computed."""
    imported = {"glue"}
    for _, other in cells(notebook, "code"):
        for node in ast.walk(tree(other)):
            if isinstance(node, ast.ImportFrom) and str(node.module).endswith(".claims"):
                imported |= {alias.asname or alias.name for alias in node.names}
    for node in ast.walk(tree(cell)):
        if called(node) not in GLUING:
            continue
        of = getattr(node.func, "value", None)
        if getattr(of, "id", None) == "claims" or (of is None and called(node) in imported):
            name = arguments(node).get(0, arguments(node).get("name"))
            yield str(called(node)), str(getattr(name, "value", None) or ast.unparse(name or node))


MOULD_RULES = {
    rule.__name__: rule
    for rule in (
        mould_problems,
        sentence_problems,
        stretch_problems,
        visible_length_problems,
        study_time_problems,
        prediction_problems,
        folding_problems,
    )
}
