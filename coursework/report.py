"""What a teacher reads of a graded class: a table of points, and how the questions did."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np

from coursework import gradebook
from coursework.batch import handed_in
from coursework.course import Course
from coursework.grading import Result
from coursework.questions import Assignment


def write_points(course: Course, of: Assignment, results: list[Result]) -> Path:
    """Write `NAME.csv`: a row for each student, with the points of each question and their sum.

    A question that a person is to read and has not is an empty field; its points are not in the sum.

    Args:
        course: whose gradebook holds what a person has entered.
        of: the assignment.
        results: from `batch.grade_class`.
    """
    by_hand = gradebook.read_by_hand(course, of)
    names = [mark.question for mark in results[0].marks] + [name for name, _ in results[0].to_read]
    path = course.folder / f"{of.name}.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *names, "points", "to_read", "handed_in"])
        for result in results:
            given = by_hand.get(result.student, {})
            points = {mark.question: mark.points for mark in result.marks}
            points |= {name: given.get(name) for name, _ in result.to_read}
            points |= {name: worth for name, worth in given.items() if worth is not None}
            there = handed_in(course, of, result.student)
            unread = sum(points[name] is None for name in names) if there else 0
            shown = ["" if points[name] is None else f"{points[name]:g}" for name in names]
            total = sum(points[name] or 0.0 for name in names)
            writer.writerow([result.student, *shown, f"{total:g}", unread, "yes" if there else "no"])
    return path


def question_table(course: Course, of: Assignment, results: list[Result]) -> list[dict[str, str]]:
    """For each question graded by running: how many got it, how it goes with the rest, and what failed most.

    *Difficulty* is the share of those who handed in that got it. *Discrimination* is the correlation of a
    question's points with the points of all others; it is empty where one of them does not vary.

    Returns:
        A row for each question: `question`, `difficulty`, `discrimination`, `failed most by`.
    """
    there = [result for result in results if handed_in(course, of, result.student)]
    rows = []
    for place, question in enumerate(of.questions):
        got = np.array([result.marks[place].points for result in there])
        rest = np.array([result.points for result in there]) - got
        varies = len(there) > 2 and got.std() > 0 and rest.std() > 0
        reasons = Counter(result.marks[place].why for result in there if result.marks[place].why).most_common(
            1
        )
        rows.append(
            {
                "question": question.name,
                "difficulty": f"{(got > 0).mean():.2f}" if there else "",
                "discrimination": f"{np.corrcoef(got, rest)[0, 1]:.2f}" if varies else "",
                "failed most by": f"{reasons[0][1]} x {reasons[0][0]}" if reasons else "",
            }
        )
    return rows


def as_text(rows: list[dict[str, str]]) -> str:
    """Rows as a table of plain text."""
    if not rows:
        return ""
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    lines = [dict(zip(rows[0], rows[0], strict=True)), *rows]
    return "\n".join(
        "  ".join(line[name].ljust(width) for name, width in widths.items()).rstrip() for line in lines
    )
