"""Limits of a case study, a page of part 6, as plain functions: what a reader sees of it is short.

The rules take a parsed notebook and return its problems, as those of `mould_rules` do, which hold as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from markdown_it.token import Token
from mould_rules import FOLDED, solution_cells
from nbformat import NotebookNode
from notebook_rules import cells, tags
from prose_rules import NO_PROSE, Directive, directive, inline_prose, parse

PART = "part6_in_the_field"
MOST_WORDS = 900
MOST_LINES = 120
NOT_READ_ALONG = {"exercises", "self-check", "further reading"}  # sections: work, and pointers elsewhere


def is_case(path: Path) -> bool:
    """Whether a notebook is a case study: one of part 6."""
    return path.parent.name == PART


def word_problems(notebook: NotebookNode) -> list[str]:
    """A case study shows at most 900 words of prose."""
    words = visible_words(notebook)
    return [f"the page shows {words} words, more than {MOST_WORDS}"] if words > MOST_WORDS else []


def line_problems(notebook: NotebookNode) -> list[str]:
    """A case study shows at most 120 lines of code."""
    lines = visible_lines(notebook)
    return [f"the page shows {lines} lines of code, more than {MOST_LINES}"] if lines > MOST_LINES else []


def visible_words(notebook: NotebookNode) -> int:
    """Words of the prose that one reads from the question to the end of the summary, unfolding nothing.

    Counted are sentences, titles and list items of markdown cells. Not counted: tables, code, displayed
    formulas, what is folded (the class `dropdown`, and all from `solution-start` to `solution-end`), the box
    "At a glance" (the class `glance`), captions of pictures, what directives show from elsewhere (a glued
    table), and the sections "Exercises", "Self-check" and "Further reading", which are for working and for
    leaving. A glued number, a formula within a line and a term by its own name count as one word.
    """
    return sum(len(block.split()) for block in _read_along(notebook))


def _read_along(notebook: NotebookNode) -> Iterator[str]:
    folded = aside = False
    for _, cell in cells(notebook, "markdown"):
        tokens = parse(cell.source)
        for place, token in enumerate(tokens):
            found = directive(token)
            if found is not None and found.name in {"solution-start", "solution-end"}:
                folded = found.name == "solution-start" and "dropdown" in _classes(found)
            elif token.type == "heading_open" and token.tag in {"h1", "h2"}:
                aside = tokens[place + 1].content.strip().lower() in NOT_READ_ALONG
            if not (folded or aside):
                yield from _prose(tokens, place)


def _prose(tokens: list[Token], place: int) -> Iterator[str]:
    """The prose of a token at a place, unless it is in the cell of a table or in a box that is not read."""
    token = tokens[place]
    if token.type == "inline":
        yield "" if tokens[place - 1].type in {"th_open", "td_open"} else inline_prose(token)
    found = directive(token)
    if found is None or found.name in NO_PROSE or found.name.startswith("glue"):
        return
    if not {"dropdown", "glance"} & _classes(found):
        yield found.title
        inside = parse(found.body)
        for inner in range(len(inside)):
            yield from _prose(inside, inner)


def _classes(found: Directive) -> set[str]:
    return set(found.options.get("class", "").split())


def visible_lines(notebook: NotebookNode) -> int:
    """Lines of code, blank ones apart, that one sees: not those of folded cells and of folded solutions."""
    solutions = solution_cells(notebook)
    return sum(
        sum(bool(line.strip()) for line in cell.source.splitlines())
        for number, cell in cells(notebook, "code")
        if not tags(cell) & FOLDED and number not in solutions
    )


CASE_RULES = {rule.__name__: rule for rule in (word_problems, line_problems)}
