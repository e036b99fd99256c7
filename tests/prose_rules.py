r"""What the prose of a MyST text says, and the rule on the numbers in it.

The rule holds the promise that every result on a page comes out of a stored run. Result-like, wherever it
stands in prose (sentences, titles, tables, captions, alt texts, titles of figures, bodies of directives):

- decimals (0.77, .77, 4.65M) and scientific notation (2e-5);
- percentages and points (77 %, 77 percent, 3 points, seventy percent);
- factors (3 times, 10x, 3×, threefold, three times as fast, twice as many, a factor of ten);
- durations (90 s, 5 minutes), magnitudes (23 million) and shares (4 of 5, 4 out of 5);
- a whole number of two or more digits that a metric is said to have (an accuracy of 77).

Not result-like: other whole numbers, in digits or words, because these are settings, sizes, counts and years
(384 numbers, five seeds, 32 labels, 3×3 filters, a 150-second limit); the level of a 95 % interval; names and
versions (Python 3.11, CC BY-SA 4.0, Apache-2.0, 1.0.4, section 2.1, arXiv:1706.03762).

Not read: glue roles, code, display mathematics, inline mathematics with a symbol in it (`$\alpha = 0.1$`),
and every sentence that carries a citation role. Inline mathematics without a symbol (`$0.77$`,
`$\text{accuracy} = 0.77$`) and inline code that is a percentage or a factor (`77 %`) count as prose. So a
result is glued, and a setting such as a learning rate stands in code or belongs to a symbol. The minutes of
the study time in a chapter's box are no result either.

For chapters after the mould, `crowded_sentences` and `crowded_stretches` say how many numbers prose may hold.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import yaml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

CODE_DIRECTIVES = {"code", "code-block", "code-cell", "sourcecode"}
NO_PROSE = CODE_DIRECTIVES | {"bibliography", "literalinclude", "math", "mermaid", "raw", "toctree"}
NO_TITLE = {
    "download",
    "figure",
    "image",
    "include",
    "list-table",
    "solution",
    "solution-end",
    "solution-start",
}
PROSE_OPTIONS = ("alt", "caption", "title")
PYTHON = {"python", "py", "python3", "ipython", "ipython3", "pycon"}
CITATION = "⟦cite⟧"
LEFT_OUT = "⟦⟧"
GLUED = "⟦glued⟧"
MOST_IN_A_SENTENCE = 2
MOST_IN_A_STRETCH = 12
STRETCH = 300  # words


@dataclass(frozen=True)
class Directive:
    """A MyST directive: its name, what follows the name, its options and its body."""

    name: str
    title: str
    options: dict[str, str]
    body: str


@cache
def _parser() -> MarkdownIt:
    extensions = {"amsmath", "attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"}
    return create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)


def parse(markdown: str) -> list[Token]:
    """The tokens of a MyST text, as Jupyter Book's parser sees them."""
    return _parser().parse(markdown)


def directive(token: Token) -> Directive | None:
    """The directive that a fence stands for; None for plain code and for other tokens."""
    match = re.match(r"\{([^}]+)\}\s*(.*)", token.info.strip(), re.S)
    if token.type not in {"fence", "colon_fence"} or match is None:
        return None
    lines = token.content.splitlines()
    options: dict[str, str] = {}
    if lines and lines[0].strip() == "---" and "---" in lines[1:]:
        end = lines.index("---", 1)
        block = yaml.safe_load("\n".join(lines[1:end])) or {}
        options = {str(key): str(value) for key, value in block.items()}
        lines = lines[end + 1 :]
    while lines and (option := re.match(r"\s*:([\w-]+):\s*(.*)", lines[0])):
        options[option[1]] = option[2]
        lines.pop(0)
    return Directive(match[1], match[2], options, "\n".join(lines))


def directives(markdown: str) -> Iterator[Directive]:
    """Every directive of a text, those inside others included, in order."""
    for token in parse(markdown):
        if (found := directive(token)) is not None:
            yield found
            if found.name not in NO_PROSE:
                yield from directives(found.body)


def holds_python(markdown: str) -> bool:
    """Whether a fence of a text, however deep inside directives, holds Python."""
    for token in parse(markdown):
        if token.type not in {"fence", "colon_fence"}:
            continue
        found = directive(token)
        language = token.info if found is None else found.title if found.name in CODE_DIRECTIVES else ""
        if language.strip().split(" ")[0].lower() in PYTHON or (found and holds_python(found.body)):
            return True
    return False


def prose(markdown: str, *, tables: bool = True) -> Iterator[str]:
    """The prose of a text by blocks: paragraphs, titles, list items, table rows, alt texts, captions."""
    row: list[str] | None = None
    for token in parse(markdown):
        if token.type == "tr_open":
            row = []
        elif token.type == "tr_close":
            yield from [" | ".join(row or [])] if tables else []
            row = None
        elif token.type == "inline" and row is not None:
            row.append(inline_prose(token))
        elif token.type == "inline":
            yield inline_prose(token)
        elif token.type == "html_block":
            yield _html_prose(token.content)
        elif (found := directive(token)) is not None:
            yield from (found.options[name] for name in PROSE_OPTIONS if name in found.options)
            if found.name not in NO_PROSE | NO_TITLE and not found.name.startswith("glue"):
                yield from prose(found.title, tables=tables)
            if found.name == "mermaid":
                yield from re.findall(r"[\[({|\"]+([^\])}|\"]+)", found.body)  # labels
            elif found.name not in NO_PROSE:
                yield from prose(found.body, tables=tables)


def inline_prose(token: Token) -> str:
    """The prose of one inline token, with marks for what is not to be read."""
    parts: list[str] = []
    for child in token.children or []:
        role = child.meta.get("name", "") if child.type == "myst_role" else ""
        if child.type == "math_inline" or role == "math":
            parts.append(_mathematics(child.content))
        elif child.type == "code_inline":
            bare = re.fullmatch(r"[\d.,\s]+(?:%|percent|points?|times|x|×)", child.content)
            parts.append(child.content if bare else LEFT_OUT)
        elif role.startswith("cite"):
            parts.append(CITATION)
        elif role in {"abbr", "sub", "sup"}:
            parts.append(child.content)
        elif role:
            titled = re.fullmatch(r"(.+?)\s*<[^<>]+>", child.content, re.S)
            glued = role.startswith("glue")
            parts.append(GLUED if glued else titled[1] if titled else LEFT_OUT)
        elif child.type in {"softbreak", "hardbreak"}:
            parts.append(" ")
        elif child.type == "image":
            parts.append(f" {inline_prose(child)} ")
        elif child.type == "html_inline":
            parts.append(_html_prose(child.content))
        elif child.type == "text":
            parts.append(child.content)
        elif child.type == "math_inline_double":
            parts.append(LEFT_OUT)
    return "".join(parts)


_PLAIN = {r"\%": "%", r"\times": "×", r"\pm": "±", r"\,": " ", r"\;": " ", r"\ ": " ", "{,}": ",", "~": " "}
_RELATIONS = r"\\(?:approx|sim|simeq|leq?|geq?|ll|gg|quad|left|right|l?dots|to|rightarrow)(?![A-Za-z])"


def _mathematics(formula: str) -> str:
    """The words and numbers of a formula that has no symbol; a mark for any other."""
    words: list[str] = []

    def keep(match: re.Match) -> str:
        words.append(match[1])
        return "\0"

    text = re.sub(r"\\(?:text|textbf|mathrm|mathbf|operatorname)\s*\{([^{}]*)\}", keep, formula)
    for command, plain in _PLAIN.items():
        text = text.replace(command, plain)
    text = re.sub(_RELATIONS, " ", text)
    if re.search(r"[A-Za-z\\^_]", text):
        return LEFT_OUT
    return re.sub("\0", lambda _: words.pop(0), re.sub("[{}]", "", text))


def _html_prose(source: str) -> str:
    source = re.sub(r"<!--.*?-->|<(style|script|pre|code)\b.*?</\1>", " ", source, flags=re.S)
    said = re.findall(r"""\b(?:alt|title|aria-label)\s*=\s*["']([^"']*)["']""", source)
    return html.unescape(" ".join([re.sub(r"<[^>]*>", " ", source), *said]))


def sentences(block: str) -> list[str]:
    """The sentences of a block of prose."""
    block = re.sub(
        r"\b(e\.g|i\.e|et al|cf|vs|Fig|Eq|Sec|resp|No)\.", lambda dot: dot[1].replace(".", ""), block
    )
    return re.split(r"(?<=[.!?])[\"'”’)\]]*\s+", block)


_WORD = (
    "(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|seventy"
    "|eighty|ninety|a hundred|one hundred)"
)
_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
_COMPARED = (
    "(?:as|the|faster|slower|more|less|fewer|larger|bigger|smaller|higher|lower|better|worse|cheaper|longer"
    "|shorter)"
)
_METRIC = "(?:accurac(?:y|ies)|F1|error|loss|recall|precision|score|correlation|perplexity)"
_ABOUT = r"(?:(?:about|around|nearly|almost|roughly|only|over|under)\s+)?"
_NAMED = re.compile(
    r"https?://\S+|\barxiv:\s?\S+|\bdoi:\s?\S+"
    r"|\b(?:python|version|cuda|BY|BY-SA|section|chapter|figure|table|equation|theorem|lemma|proposition|exercise)"
    r"\s+\d+(?:\.\d+)*(?:\s?[–-]\s?\d+(?:\.\d+)*)?(?!\s*%|\s+times|[\d.]*\d)"
    r"|\b95\s*%\s+(?!of\b)(?:[\w’'⟦⟧-]+\s+){0,3}?intervals?\b",
    re.I,
)
_RESULT_LIKE = [
    re.compile(pattern, re.I)
    for pattern in (
        # 0.77, but not Apache-2.0 or 1.0.4
        r"(?<![\w.])(?<![A-Za-z]-)(?<![A-Z]\d-)\d*\.\d+(?!\.?\d)(?:e[-+−]?\d+)?",
        r"(?<![\w.-])\d+e[-+−]?\d+",  # 2e-5
        rf"(?<![\w.]){_NUMBER}\s*(?:%|％|‰|percent\b|per cent\b|percentage\b|pp\b|points?\b)",
        rf"\b(?:{_WORD}-)?{_WORD}\s+(?:%|percent\b|per cent\b|percentage points?\b)",
        rf"(?<![\w.]){_NUMBER}(?:[\s-]?times\b|-?fold\b|x\b(?!-)|\s?×(?!\s*(?:\d|⟦|[A-Z]\b)))",
        rf"\b{_WORD}(?:-?fold\b|[\s-]times\s+{_COMPARED}\b)|\btwice\s+as\b",
        rf"\bfactors?\s+(?:of\s+)?{_ABOUT}(?:{_NUMBER}|{_WORD}\b)",
        rf"(?<![\w.]){_NUMBER}(?:\s?ms|\s[sh]|\s?(?:seconds?|minutes?|min|hours?))\b",
        rf"(?<![\w.]){_NUMBER}\s*(?:million|billion|trillion)\b",
        rf"(?<![\w.]){_NUMBER}\s+(?:out\s+of|of(?:\s+the)?)\s+\d+",
        rf"\b{_METRIC}\s*(?:of|is|was|are|were|reach(?:es|ed)|=|:|≈)\s*{_ABOUT}\d{{2,}}\b",
    )
]


def result_like(block: str) -> list[str]:
    """The result-like numbers in a block of prose, outside of sentences that carry a citation."""
    uncited = (sentence for sentence in sentences(block) if CITATION not in sentence)
    return [number for sentence in uncited for number in _numbers(sentence)]


def _numbers(sentence: str) -> list[str]:
    found: list[str] = []
    text = _NAMED.sub(" ", sentence)
    for pattern in _RESULT_LIKE:
        found += [match[0].strip() for match in pattern.finditer(text)]
        text = pattern.sub(" ", text)
    return found


# The study time of a page is its author's estimate, so no run can have measured it.
_STUDY_TIME = re.compile(
    r"^(Study time\n:\s*)((?:\d+(?:\s*(?:–|-|to)\s*\d+)?\s*minutes)?[^\n]*)", re.M | re.I
)


def study_minutes(markdown: str) -> str | None:
    """The study time that a box states, such as "40 to 60 minutes"; None if it states none."""
    found = _STUDY_TIME.search(markdown)
    minutes = re.match(r"\d+.*?minutes", found[2]) if found else None
    return minutes[0] if minutes else None


def typed_numbers_in(markdown: str) -> list[str]:
    """No result-like number is typed into a MyST text."""
    minutes = study_minutes(markdown)
    if minutes:
        markdown = _STUDY_TIME.sub(lambda found: found[1] + found[2].removeprefix(minutes), markdown, count=1)
    return [
        f"{number!r} is typed into {block.strip()[:70]!r}: glue it"
        for block in prose(markdown)
        for number in result_like(block)
    ]


def crowded_sentences(markdown: str) -> list[str]:
    """No sentence holds more than two numbers, glued or result-like; the rows of tables may."""
    problems: list[str] = []
    for block in prose(markdown, tables=False):
        for sentence in sentences(block):
            count = sentence.count(GLUED) + len(_numbers(sentence))
            if count > MOST_IN_A_SENTENCE:
                problems.append(
                    f"{count} numbers stand in {sentence.strip()[:70]!r}; put them into a table or a figure"
                )
    return problems


def crowded_stretches(markdown: str) -> list[str]:
    """No 300 words in a row hold more than twelve glued numbers; the rows of tables may."""
    words = " ".join(prose(markdown, tables=False)).replace(GLUED, f" {GLUED} ").split()
    places = [place for place, word in enumerate(words) if word == GLUED]
    problems: list[str] = []
    free = 0  # where the next stretch to be named may begin
    for first, last in zip(places, places[MOST_IN_A_STRETCH:], strict=False):
        if first >= free and last - first < STRETCH:
            count = sum(first <= place < first + STRETCH for place in places)
            said = " ".join(words[max(first - 8, 0) : first + 8]).replace(GLUED, "…")
            problems.append(f"{count} glued numbers stand in the {STRETCH} words from {said!r} on")
            free = first + STRETCH
    return problems
