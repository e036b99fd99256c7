"""Hand out assignments, grade what comes back, and report it.

python -m coursework hand-out autumn/ fitting --roster class.csv    a notebook for every student
python -m coursework collect autumn/ fitting --exchange /srv/exchange   what came in by nbgrader's exchange
python -m coursework grade autumn/ fitting                          points, gradebook, feedback, statistics
python -m coursework formgrader autumn/                             read and grade by hand, in the browser
python -m coursework report autumn/ fitting                         the table again, after that
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from coursework import batch, course, exchange, gradebook, handout, report
from coursework.sandbox import NoSandbox


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; 0 if it was done, 1 with one sentence if not."""
    parser = argparse.ArgumentParser(
        prog="python -m coursework", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="the assignments that there are")
    steps = {"hand-out": "make the notebooks", "collect": "fetch what came in by nbgrader's exchange"}
    steps |= {"grade": "grade what came back", "report": "write the table"}
    for name, said in steps.items():
        command = commands.add_parser(name, help=said)
        command.add_argument("course", type=Path, help="folder of the course")
        if name == "hand-out":
            command.add_argument("assignments", nargs="*", help="which (default: all); `list` names them")
            command.add_argument("--roster", type=Path, required=True, help="CSV with a column `id`")
        else:
            command.add_argument("assignment", help="which; `list` names them")
        if name == "collect":
            command.add_argument("--exchange", type=Path, required=True, help="folder of the exchange")
        if name == "grade":
            command.add_argument("--jobs", type=int, default=2, help="submissions at a time (default: 2)")
    command = commands.add_parser("formgrader", help="open nbgrader's formgrader on a course")
    command.add_argument("course", type=Path, help="folder of the course")
    given = parser.parse_args(arguments)
    try:
        return COMMANDS[given.command](given)
    except (course.CourseError, NoSandbox) as error:
        print(error, file=sys.stderr)
        return 1


def _list(given: argparse.Namespace) -> int:
    print("\n".join(course.names()))
    return 0


def _hand_out(given: argparse.Namespace) -> int:
    chosen = [course.assignment(name) for name in given.assignments or course.names()]
    found = course.create(given.course, given.roster)
    for of in chosen:
        written = handout.hand_out(found, of)
        gradebook.register(found, of)
        print(f"{of.name}: {len(written)} notebooks are in {given.course / 'handed_out'};")
        print(f"what comes back belongs into {given.course / 'submitted'}/STUDENT/{of.name}/{of.name}.ipynb")
    return 0


def _collect(given: argparse.Namespace) -> int:
    found, of = course.opened(given.course), course.assignment(given.assignment)
    copied, left = exchange.collect(found, of, given.exchange)
    print("".join(f"{sentence}\n" for sentence in left), end="")
    print(f"New in {given.course / 'submitted'}: {', '.join(copied) or 'nothing'}.")
    return 0


def _grade(given: argparse.Namespace) -> int:
    found, of = course.opened(given.course), course.assignment(given.assignment)
    results = batch.grade_class(found, of, given.jobs)
    gradebook.record(found, of, results)
    pages = gradebook.feedback(found, of)
    print(report.as_text(report.question_table(found, of, results)))
    said = "1 page of feedback is" if len(pages) == 1 else f"{len(pages)} pages of feedback are"
    print(f"{said} in {given.course / 'feedback'}.")
    print(f"The points are in {report.write_points(found, of, results)}.")
    return 0


def _report(given: argparse.Namespace) -> int:
    found, of = course.opened(given.course), course.assignment(given.assignment)
    results = batch.grade_class(found, of, jobs=1, quiet=True)
    gradebook.feedback(found, of)
    print(f"The points are in {report.write_points(found, of, results)}.")
    return 0


def _formgrader(given: argparse.Namespace) -> int:
    os.chdir(course.opened(given.course).folder)
    command = [sys.executable, "-m", "jupyter", "lab", "--LabApp.default_url=/formgrader"]
    os.execv(command[0], command)


COMMANDS = {
    "list": _list,
    "hand-out": _hand_out,
    "collect": _collect,
    "grade": _grade,
    "report": _report,
    "formgrader": _formgrader,
}

if __name__ == "__main__":
    sys.exit(main())
