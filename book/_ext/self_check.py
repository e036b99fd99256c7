"""A `self-check` directive: questions with feedback for each answer, from a YAML file beside the page.

The file is a list of questions, each with three or four answers, one of which is right:

    - question: Which part of the data may choose the number of epochs?
      answers:
        - text: The validation part.
          right: true
          feedback: It is what it is for.
        - text: The test part.
          feedback: Then its score would no longer be one of unseen examples.

Texts are Markdown of one line. The feedback of the chosen answer is shown by `_static/self_check.js`; without
the script, all feedback can be unfolded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from html_element import html_element
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FEWEST, MOST = 3, 4


@dataclass(frozen=True)
class Answer:
    """One answer to choose: its text, what is said to who chooses it, and whether it is right."""

    text: str
    feedback: str
    right: bool


@dataclass(frozen=True)
class Question:
    """A question and its answers, in the order in which they are shown."""

    text: str
    answers: tuple[Answer, ...]


def read(path: Path, name: str) -> list[Question]:
    """The questions of a file.

    Args:
        path: the YAML file.
        name: what messages call it.

    Raises:
        ValueError: if it cannot be read or is not as the module says; one sentence that names the file and,
            where it can, the question.
    """
    try:
        listed = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"There is no file {name}.") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or error
        raise ValueError(
            f"{name}{where}, cannot be read as YAML ({reason}); put texts with a colon into quotes."
        ) from None
    if not isinstance(listed, list) or not listed:
        raise ValueError(f"{name} must be a list of questions (`- question: ...`).")
    return [_question(entry, f"{name}, question {number}") for number, entry in enumerate(listed, start=1)]


def _question(entry: Any, where: str) -> Question:
    _check_keys(entry, {"question", "answers"}, set(), where)
    text = _text(entry["question"], where, "question")
    where = f"{where} ({text[:50]!r})"
    listed = entry["answers"]
    if not isinstance(listed, list) or not FEWEST <= len(listed) <= MOST:
        count = len(listed) if isinstance(listed, list) else 0
        raise ValueError(f"{where} has {count} answers; give {FEWEST} or {MOST}.")
    answers = tuple(_answer(answer, f"{where}, answer {n}") for n, answer in enumerate(listed, start=1))
    right = sum(answer.right for answer in answers)
    if right != 1:
        raise ValueError(f"{where} has {right or 'no'} right answers; mark one with `right: true`.")
    if len({answer.text for answer in answers}) < len(answers):
        raise ValueError(f"{where} has the same answer twice.")
    return Question(text, answers)


def _answer(entry: Any, where: str) -> Answer:
    _check_keys(entry, {"text", "feedback"}, {"right"}, where)
    right = entry.get("right", False)
    if not isinstance(right, bool):
        raise ValueError(f"{where} has `right: {right}`; write true, or leave the line out.")
    return Answer(_text(entry["text"], where, "text"), _text(entry["feedback"], where, "feedback"), right)


def _check_keys(entry: Any, needed: set[str], optional: set[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is no mapping; give {' and '.join(sorted(needed))}.")
    if missing := sorted(needed - entry.keys()):
        raise ValueError(f"{where} lacks {' and '.join(missing)}.")
    if odd := sorted(map(str, entry.keys() - needed - optional)):
        raise ValueError(f"{where} has {', '.join(odd)}, which means nothing here.")


def _text(value: Any, where: str, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{where}: the {what} {value!r} is no text; put it into quotes.")
    if not value.strip():
        raise ValueError(f"{where}: the {what} is empty.")
    return " ".join(value.split())


class SelfCheck(SphinxDirective):
    """Takes the YAML file, relative to this page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        try:
            questions = read(Path(path), relative)
        except ValueError as error:
            raise self.error(str(error)) from None
        group = html_element("div", classes=["self-check"])
        name = f"self-check-{self.env.new_serialno('self-check') + 1}"
        for number, question in enumerate(questions, start=1):
            group += self.fieldset(question, number, f"{name}-{number}")
        self.set_source_info(group)
        return [group]

    def fieldset(self, question: Question, number: int, name: str) -> html_element:
        """One question: a radio button for each answer, a place for its feedback, and all of it folded."""
        field = html_element("fieldset", classes=["self-check-question"])
        field += html_element("legend", self.inline(f"{number}. {question.text}"))
        feedback = html_element("ul")
        for letter, answer in zip("ABCD", question.answers, strict=False):
            said = f"{name}-{letter.lower()}"
            button = html_element("input", type="radio", name=name, value=said, autocomplete="off")
            field += html_element("label", button, mark(letter, "letter"), self.inline(answer.text))
            text = self.inline(answer.feedback)
            text.insert(0, mark("✓ Right" if answer.right else "✗ Not this one", "verdict"))
            text.insert(1, nodes.Text(" "))
            text["classes"], text["ids"] = ["right" if answer.right else "wrong"], [said]
            feedback += html_element("li", mark(letter, "letter"), nodes.Text(" "), text)
        field += html_element("p", role="status", classes=["self-check-said"])
        summary = html_element("summary", nodes.Text("Feedback on each answer"))
        field += html_element("details", summary, feedback)
        return field

    def inline(self, text: str) -> nodes.inline:
        """Markdown of one line as a node."""
        found, messages = self.state.inline_text(text, self.lineno)
        return nodes.inline("", "", *found, *messages)


def mark(text: str, kind: str) -> nodes.inline:
    return nodes.inline("", text, classes=[kind])


def add_script(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Load the script on the pages that have a self-check."""
    if doctree is not None and any("self-check" in node["classes"] for node in doctree.findall(html_element)):
        app.add_js_file("self_check.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("html_element")
    app.add_directive("self-check", SelfCheck)
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
