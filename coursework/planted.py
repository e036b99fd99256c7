"""Answers planted to grade the grader: right ones written differently, wrong ones as students write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from coursework.course import ASSIGNMENTS
from coursework.questions import Assignment

HEAD = re.compile(r"^# (right|wrong): (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Planted:
    """One answer to one question.

    Args:
        question: whose.
        right: whether it must get the points.
        kind: what is particular to it.
        source: its code; `{{ name }}` stands for what it does in an assignment's source.
    """

    question: str
    right: bool
    kind: str
    source: str


def planted(of: Assignment) -> list[Planted]:
    """The planted answers of an assignment, from `planted/QUESTION.py`.

    What stands in such a file before the first of them belongs to each.
    """
    found = []
    for question in of.questions:
        text = (ASSIGNMENTS / of.name / "planted" / f"{question.name}.py").read_text(encoding="utf-8")
        heads = list(HEAD.finditer(text))
        ends = [head.start() for head in heads[1:]] + [len(text)]
        found += [
            Planted(
                question.name, head[1] == "right", head[2], text[: heads[0].start()] + text[head.end() : end]
            )
            for head, end in zip(heads, ends, strict=True)
        ]
    return found
