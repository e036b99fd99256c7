"""The rules over every notebook and page of the book, and each rule over what it must catch and pass."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import case_rules as case
import mould_rules as mould
import nbformat
import notebook_rules as rules
import pytest
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from prose_rules import (
    crowded_sentences,
    crowded_stretches,
    directives,
    prose,
    result_like,
    sentences,
    study_minutes,
    typed_numbers_in,
)

ROOT = Path(__file__).parents[1]
NOTEBOOKS = rules.notebooks(ROOT)
PAGES = sorted((ROOT / "book").rglob("*.md"))


def label(path: Path) -> str:
    return path.stem


@cache
def stored(path: Path) -> NotebookNode:
    return rules.read(path)


# --- the book ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", rules.NOTEBOOK_RULES.values(), ids=rules.NOTEBOOK_RULES)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=label)
def test_notebook_keeps_the_rule(path, rule):
    assert rule(stored(path)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=label)
def test_chapter_is_written_after_the_mould(path):
    assert mould.follows(stored(path))
    assert mould.mould_problems(stored(path)) == []


@pytest.mark.parametrize("rule", mould.MOULD_RULES.values(), ids=mould.MOULD_RULES)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=label)
def test_chapter_after_the_mould_keeps_the_rule(path, rule):
    assert rule(stored(path)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=label)
def test_chapter_after_the_mould_has_its_self_check(path):
    assert mould.self_check_problems(stored(path), path) == []


@pytest.mark.parametrize("rule", case.CASE_RULES.values(), ids=case.CASE_RULES)
@pytest.mark.parametrize("path", list(filter(case.is_case, NOTEBOOKS)), ids=label)
def test_case_study_keeps_the_rule(path, rule):
    assert rule(stored(path)) == []


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_page_types_no_number(path):
    assert typed_numbers_in(path.read_text(encoding="utf-8")) == []


def test_there_are_notebooks_and_pages():
    assert NOTEBOOKS
    assert PAGES


def test_contents():
    assert rules.contents_problems(ROOT) == []


def test_what_a_chapter_needs_comes_before_it():
    assert rules.need_problems(ROOT) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=label)
def test_notebook_redefines_nothing(path):
    public = rules.public_names(ROOT / "transferbook")
    assert "claim" in public
    assert rules.redefinition_problems(stored(path), public) == []


def test_a_name_has_one_home():
    homes = [name for path in NOTEBOOKS for name in rules.declared(stored(path)).get("home_of", [])]
    assert len(homes) == len(set(homes))


def test_imports_are_silent_offline_and_write_nothing():
    files = (path for path in (ROOT / "transferbook").rglob("*.py") if not path.stem.startswith("__"))
    modules = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files)
    assert len(modules) > 5
    assert rules.import_problems(["transferbook", *modules], ROOT) == []


# --- planted violations ------------------------------------------------------------------------------------

BOX = """# Title
What is the question?

:::{admonition} Before you start
You will be able to do it. You need nothing first. Run time: short. Data and models: none.
:::
"""
CLAIM_LINE = "{name} = 0.142 [0.118, 0.167] over 5 seeds   holds: above 0.05\n"


def text(source: str) -> NotebookNode:
    return new_markdown_cell(source)


def code(
    source: str, *outputs: NotebookNode, tags: tuple[str, ...] = (), run: int | None = 1, **mystnb
) -> NotebookNode:
    metadata = {"tags": list(tags)} | ({"mystnb": mystnb} if mystnb else {})
    return new_code_cell(source, outputs=list(outputs), execution_count=run, metadata=metadata)


def printed(said: str, stream: str = "stdout") -> NotebookNode:
    return new_output("stream", name=stream, text=said)


def image() -> NotebookNode:
    return new_output("display_data", data={"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"})


def raised() -> NotebookNode:
    return new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])


def book(*cells: NotebookNode, **declared) -> NotebookNode:
    return new_notebook(cells=list(cells), metadata={"transferbook": declared})


def claims(*names: str, call: str = "claim('{name}', x, above=0.05)", line: str = CLAIM_LINE) -> NotebookNode:
    calls = "\n".join(call.format(name=name) for name in names)
    return code(calls, printed("".join(line.format(name=name) for name in names)))


ALT = {"image": {"alt": "Accuracy rises with the number of labels and then levels off."}}
OTHER_ALT = {"image": {"alt": "Two lines cross where the budget is about the middle one."}}

GOOD = {
    "run_problems": book(
        code("1", run=1),
        code("1 / 0", raised(), tags=("raises-exception",), run=3),
        code("  ", run=None),
    ),
    "length_problems": book(code("\n\n".join(["x = 1"] * 25))),
    "output_problems": book(
        code("1", printed("saved results/home/tmp.txt, see https://host.org/home/x, 3/work or a/tmp\n")),
        code("1", printed("epoch 1: 100%|████| 10/10 [00:01<00:00, 9.1it/s]\r", "stderr")),
    ),
    "checked_output_problems": book(code("1", printed("1"), tags=("nbval-check-output",)), code("x = 1")),
    "alt_problems": book(
        code("plot()", image(), **ALT), code("plot()", image(), **OTHER_ALT), code("1", printed("1"))
    ),
    "claim_problems": book(claims("a", "b"), claims("c"), headline="b"),
    "seed_problems": book(
        claims("a"),
        claims(
            "b", call="claims.claim('{name}', x, above=1, kind='fact')", line="{name} = 3   holds: above 1\n"
        ),
        claims("c", call="claim_equal('{name}', x, y)", line="{name} = 1e-9   holds: at most 1e-6\n"),
        claims("d", line="{name} = 2 [1, 3] over 1,000 seeds   holds: above 0\n"),
        claims("e", line="{name} = 2 [1, 3] over 15 people   holds: above 0\n"),
        units=["people"],
    ),
    "typed_numbers": book(
        text("# Five seeds\nThe gain is {glue:text}`gain:.2f` with 32 labels."),
        code("ax.set_title('accuracy by labels')\nshow('gain', gain)", image(), **ALT),
        code("rate = 0.77\nclaims.table('t', {f'{n} labels': {'n': 32, 'gain': g}}, caption='5 seeds.')"),
    ),
    "solution_problems": book(
        text("```{exercise}\n:label: e1\nWhy?\n```"),
        text("```{solution-start} e1\n:class: dropdown\n```\nBecause:"),
        code("print(1)"),
        text("```{solution-end}\n```"),
        text("The article's program, which cannot run:\n```python\nfit(\n```"),
    ),
    "opening_problems": book(text(BOX), text("## A part")),
}

BAD = [
    ("run_problems", book(code("1", run=None)), "cell 1 was never run"),
    ("run_problems", book(code("1", run=2), code("1", run=1)), "cell 2 was run before"),
    ("run_problems", book(code("1 / 0", raised())), "cell 1 stores an error"),
    ("run_problems", book(code("1", tags=("nbval-skip",))), "tests do not run"),
    ("run_problems", book(code("# NBVAL_SKIP\n1")), "tests do not run"),
    ("length_problems", book(code("\n".join(["x = 1"] * 26))), "cell 1 has 26 lines"),
    ("output_problems", book(code("1", printed("cached in /home/someone/.cache"))), "/home/someone/.cache"),
    ("output_problems", book(code("1", printed("('/tmp', 'C:\\\\Users')"))), "/tmp"),
    ("output_problems", book(code("1", printed("in C:\\Users\\me"))), "C:\\Users\\me"),
    (
        "output_problems",
        book(code("1 / 0", new_output("error", traceback=['File "/home/ana/x.py"']))),
        "/home/ana/x.py",
    ),
    ("output_problems", book(code("1", printed("UserWarning: hm\n", "stderr"))), "UserWarning: hm"),
    (
        "output_problems",
        book(code("1", printed("50%|██ | 1/2 [00:01, 1.0it/s]\rFutureWarning: soon", "stderr"))),
        "FutureWarning: soon",
    ),
    ("checked_output_problems", book(code("1", tags=("nbval-check-output",))), "stores no output"),
    ("alt_problems", book(code("plot()", image())), "0 characters"),
    ("alt_problems", book(code("plot()", image(), image={"alt": "Too short."})), "10 characters"),
    ("alt_problems", book(code("plot()", image(), image(), **ALT)), "2 images"),
    (
        "alt_problems",
        book(code("plot()", image(), **ALT), code("plot()", image(), **ALT)),
        "the same alt text",
    ),
    ("alt_problems", book(code("plot()", image(), image={"alt": "Figure of " + "words " * 9})), "'Figure'"),
    (
        "alt_problems",
        book(code("plot()", image(), image={"alt": "_images/" + "0a1b" * 12 + ".png"})),
        "_images/",
    ),
    ("claim_problems", book(claims("a", "b"), headline="a"), "makes 2 claims"),
    ("claim_problems", book(claims("a", "b", "c")), "headline is None"),
    ("claim_problems", book(claims("a", "b", "c"), headline="d"), "headline is 'd'"),
    ("claim_problems", book(code("claim('never', x, above=1)")), "no stored line says that the claim never"),
    (
        "claim_problems",
        book(claims("a", call="try:\n  claim('{name}', x)\nfinally:\n  pass")),
        "could fail unseen",
    ),
    (
        "claim_problems",
        book(claims("a", call="with suppress(Exception): claim('{name}', x)")),
        "could fail unseen",
    ),
    ("claim_problems", book(code("claim_equal('a', x, y)", tags=("raises-exception",))), "could fail unseen"),
    ("claim_problems", book(code("# NBVAL_RAISES_EXCEPTION\nclaim('a', x)")), "could fail unseen"),
    (
        "claim_problems",
        book(claims("a", line="{name} = 1 [0, 2] over 5 seeds   holds: above -9, which is too easy (9 h\n")),
        "too easy",
    ),
    (
        "seed_problems",
        book(claims("a", line="{name} = 1 [0, 2] over 4 seeds   holds: above 0\n")),
        "only 4 seeds",
    ),
    (
        "seed_problems",
        book(claims("a", line="{name} = 1 [0, 2] over 900 examples   holds: above 0\n")),
        "how many",
    ),
    (
        "seed_problems",
        book(claims("a", line="{name} = 1 [0, 2] over 900 examples   holds: above 0\n"), units=["people"]),
        "how many",
    ),
    (
        "seed_problems",
        book(claims("a", line="{name} = 1 [0, 2] over 4 people   holds: above 0\n"), units=["people"]),
        "only 4 people",
    ),
    (
        "seed_problems",
        book(
            code("for n in s: claim(f'gain_{n}', x)", printed("gain_8 = 1 over 3 seeds   holds: above 0\n"))
        ),
        "gain_8 is over only 3 seeds",
    ),
    ("typed_numbers", book(text("The accuracy is 0.77.")), "'0.77'"),
    (
        "typed_numbers",
        book(code("plot()", image={"alt": "A line that rises from chance to 77 %."})),
        "'77 %'",
    ),
    ("typed_numbers", book(code("plot()", figure={"caption": "It is 3 times faster."})), "'3 times'"),
    ("typed_numbers", book(code("ax.set_title('accuracy 0.77')")), "'0.77'"),
    ("typed_numbers", book(code("fig.suptitle(t='a gain of 3 points')")), "'3 points'"),
    ("typed_numbers", book(code("claims.show('gain', -0.77)")), "glues a typed number"),
    ("typed_numbers", book(code("claims.table('t', {'probe': {'accuracy': 0.77}})")), "'0.77'"),
    ("typed_numbers", book(code("claims.table('t', {'probe': {'accuracy': '77 %'}})")), "'77 %'"),
    ("typed_numbers", book(code("claims.table('t', rows, caption='A gain of 3 points.')")), "'3 points'"),
    ("typed_numbers", book(code("rows = {'a': {'x': 0.77}}\nclaims.table('t', rows)")), "'0.77'"),
    ("typed_numbers", book(code("rows['a']['x'] = 0.77\nclaims.table('t', rows=rows)")), "'0.77'"),
    ("solution_problems", book(text("````{solution} e1\n```python\nprint(1)\n```\n````")), "never run"),
    (
        "solution_problems",
        book(text("````{solution} e1\n```{code-block} python\nprint(1)\n```\n````")),
        "never run",
    ),
    ("solution_problems", book(text("````{dropdown} Solution\n```py\nprint(1)\n```\n````")), "never run"),
    (
        "solution_problems",
        book(text("```{solution-start} e1\n```"), text("```python\n1\n```"), text("```{solution-end}\n```")),
        "cell 2: Python",
    ),
    ("solution_problems", book(text("```{solution-start} e1\n```")), "never ended"),
    ("solution_problems", book(text("```{solution-end}\n```")), "not started"),
    ("opening_problems", book(code("1"), text(BOX)), "first cell is not a text"),
    ("opening_problems", book(text("# Title\nWhat?")), "has no box"),
    ("opening_problems", book(text(BOX.replace("?", "."))), "asks no question"),
    ("opening_problems", book(text(BOX), text("# Another title")), "one title"),
    ("opening_problems", book(text(BOX.replace("# Title", "## Title"))), "one title"),
    ("opening_problems", book(text(BOX.replace("Run time: short. ", ""))), "does not say the run time"),
    ("opening_problems", book(text(BOX.replace("able to", "forced to"))), "what one will be able to do"),
]


def test_every_rule_has_its_examples():
    assert rules.NOTEBOOK_RULES.keys() == GOOD.keys() == {rule for rule, _, _ in BAD}


@pytest.mark.parametrize("name", GOOD)
def test_rule_passes_the_innocent(name):
    assert rules.NOTEBOOK_RULES[name](GOOD[name]) == []


@pytest.mark.parametrize(("name", "notebook", "said"), BAD)
def test_rule_catches(name, notebook, said):
    found = rules.NOTEBOOK_RULES[name](notebook)
    assert any(said in problem for problem in found), found


# --- the mould ---------------------------------------------------------------------------------------------

MANY = "word {glue:text}`a`. " * 12 + "word " * 275
PREDICT = ":::{admonition} Predict, then run\n:class: predict\nWhich is larger?\n:::\n"
STUDY = BOX.replace("You need", "\n\nStudy time\n: 40 to 60 minutes\n\nYou need")
KNOWN = {"code_prompt_show": "How we know", "code_prompt_hide": "How we know"}


def folded(source: str, **mystnb) -> NotebookNode:
    return code(source, tags=("hide-cell",), **(mystnb or KNOWN))


GOOD_MOULD = {
    "mould_problems": book(code("claims.claim('gain', x, above=1)"), mould=2, open_claims=["gain"]),
    "sentence_problems": book(
        text(
            "It is {glue:text}`a:.2f` of {glue:text}`b`. And {glue:text}`c`, with 3 of 40 labels in 5 seeds."
        ),
        text("| a | b | c |\n|---|---|---|\n| {glue:text}`a` | {glue:text}`b` | {glue:text}`c` |"),
        text("A table:\n```{glue} rows\n```"),
    ),
    "stretch_problems": book(text(MANY), text("word {glue:text}`b`. " * 12)),
    "visible_length_problems": book(
        code("x = 1\n\n" * 18),
        code("x = 1\n" * 25, tags=("hide-input",)),
        folded("x = 1\n" * 25),
        text("```{solution-start} e1\n:class: dropdown\n```"),
        code("x = 1\n" * 25),
        text("```{solution-end}\n```"),
    ),
    "study_time_problems": book(text(STUDY)),
    "prediction_problems": book(text(PREDICT), text(f"````{{note}}\n{PREDICT}````")),
    "folding_problems": book(
        code("from transferbook.evidence.claims import claim\nplt.show()\ntable('x')\nshow('x', 1)"),
        folded("claim('a', x, above=1)\nclaims.table('t', rows)\nglue('b', fig)"),
        code("claims.show('seconds', time.process_time() - started)", tags=("remove-cell",)),
        code("claims.claim('gain', x, above=1)"),
        mould=2,
        open_claims=["gain"],
    ),
}
BAD_MOULD = [
    ("mould_problems", book(mould=3), "transferbook.mould is 3"),
    ("mould_problems", book(code("claims.show('a', x)"), mould=2, open_claims=["b"]), "open_claims names b"),
    ("sentence_problems", book(text("{glue:text}`a` [{glue:text}`b`, {glue:text}`c`] here.")), "3 numbers"),
    ("sentence_problems", book(text("{glue:text}`a`, 77 % and 0.5 {cite}`x`.")), "3 numbers"),
    ("sentence_problems", book(text(":::{note}\n{glue:}`a`, {glue:}`b`, {glue:}`c`.\n:::")), "3 numbers"),
    ("stretch_problems", book(text("word {glue:text}`a`. " * 12), text("word {glue:text}`b`.")), "13 glued"),
    ("stretch_problems", book(text(MANY[: -5 * 20]), text("{glue:text}`b`")), "13 glued"),
    ("visible_length_problems", book(code("x = 1\n" * 19)), "cell 1 shows 19 lines"),
    (
        "visible_length_problems",
        book(text("```{solution-start} e1\n```"), code("x = 1\n" * 19), text("```{solution-end}\n```")),
        "cell 2 shows 19 lines",
    ),
    (
        "visible_length_problems",
        book(
            text("```{solution-start} e1\n:class: dropdown\n```"),
            text("```{solution-end}\n```"),
            code("x = 1\n" * 19),
        ),
        "cell 3 shows 19 lines",
    ),
    ("study_time_problems", book(text(BOX)), "does not say the study time"),
    ("study_time_problems", book(text(STUDY.replace("40 to 60 minutes", "short"))), "does not say the study"),
    ("prediction_problems", book(text(PREDICT)), "1 boxes of class predict"),
    ("prediction_problems", book(*[text(PREDICT)] * 4), "4 boxes of class predict"),
    ("prediction_problems", book(*[text(PREDICT.replace("?", "."))] * 2), "asks nothing"),
    ("folding_problems", book(code("claims.claim('a', x, above=1)")), "cell 1 glues a in the open"),
    ("folding_problems", book(code("claims.table('a', rows)")), "cell 1 glues a in the open"),
    (
        "folding_problems",
        book(code("claims.show('a', x)", tags=("remove-cell",))),
        "cell 1 glues a in the open",
    ),
    ("folding_problems", book(code("for n in s: claims.show(f'gain_{n}', x)")), "gain_{n}"),
    (
        "folding_problems",
        book(code("from x.claims import show as s, show\nshow('a', x)")),
        "glues a in the open",
    ),
    ("folding_problems", book(code("glue('a', fig)", tags=("hide-input",))), "glues a in the open"),
    ("folding_problems", book(folded("claims.show('a', x)", code_prompt_show="More")), "'How we know'"),
]


def test_every_rule_of_the_mould_has_its_examples():
    assert mould.MOULD_RULES.keys() == GOOD_MOULD.keys() == {rule for rule, _, _ in BAD_MOULD}


@pytest.mark.parametrize("name", GOOD_MOULD)
def test_rule_of_the_mould_passes_the_innocent(name):
    assert mould.MOULD_RULES[name](GOOD_MOULD[name]) == []


@pytest.mark.parametrize(("name", "notebook", "said"), BAD_MOULD)
def test_rule_of_the_mould_catches(name, notebook, said):
    found = mould.MOULD_RULES[name](notebook)
    assert any(said in problem for problem in found), found


FULL = text("word " * 450)  # half of what a case study may show
NOT_COUNTED = text("""## A part

| a table | of words |
|---|---|
| two | words |

```python
some = code
```

$$
a = b
$$

:::{admonition} At a glance
:class: glance
Words in the box.
:::

:::{admonition} Folded
:class: dropdown
Words that are folded.
:::

```{glue} table
```

## Exercises

:::{exercise} Words
:label: e
More words.
:::

```{solution-start} e
:class: dropdown
```
Words.
```{solution-end}
```

## Further reading

- Words.
""")
TWO_WORDS = "A part"  # the title in what is not counted
SEEN = text("## Seen\n\n- one\n- two {glue:text}`three` $f(x)$\n\n:::{admonition} Title\nIn it.\n:::\n")

GOOD_CASE = {
    "word_problems": book(FULL, text("word " * (450 - len(TWO_WORDS.split()))), NOT_COUNTED),
    "line_problems": book(
        code("x = 1\n\n" * 120), code("x = 1\n" * 9, tags=("hide-cell",)), code("x = 1", tags=("hide-input",))
    ),
}
BAD_CASE = [
    ("word_problems", book(FULL, FULL, text("one")), "shows 901 words, more than 900"),
    ("word_problems", book(FULL, FULL, SEEN), "shows 908 words"),
    ("word_problems", book(text("## Further reading\nword"), text("## Summary"), FULL, FULL), "901 words"),
    ("line_problems", book(*[code("x = 1\n" * 11)] * 11), "shows 121 lines of code, more than 120"),
]


def test_every_rule_of_a_case_study_has_its_examples():
    assert case.CASE_RULES.keys() == GOOD_CASE.keys() == {rule for rule, _, _ in BAD_CASE}
    assert case.is_case(ROOT / "notebooks/part6_in_the_field/01_medicine.ipynb")
    assert not case.is_case(NOTEBOOKS[0])


@pytest.mark.parametrize("name", GOOD_CASE)
def test_rule_of_a_case_study_passes_the_innocent(name):
    assert case.CASE_RULES[name](GOOD_CASE[name]) == []


@pytest.mark.parametrize(("name", "notebook", "said"), BAD_CASE)
def test_rule_of_a_case_study_catches(name, notebook, said):
    found = case.CASE_RULES[name](notebook)
    assert any(said in problem for problem in found), found


def test_only_a_declared_chapter_follows_the_mould():
    assert mould.follows(book(mould=2))
    assert not mould.follows(book())


def check_problems(
    folder: Path, count: int = 5, *, place: int | None = None, shown: str = "", **first
) -> list[str]:
    """The problems of a self-check of some questions, the first with other texts."""
    questions = []
    for number in range(count):
        answers = [{"text": f"Answer {n}.", "feedback": "So."} for n in range(3)]
        answers[number % 3 if place is None else place]["right"] = True
        questions.append({"question": "Why?", "answers": answers})
    questions[0]["question"] = first.pop("question", "Why?")
    questions[0]["answers"][0] |= first
    (folder / "01_topic.check.yml").write_text(yaml.safe_dump(questions))
    notebook = book(text(shown or "```{self-check} 01_topic.check.yml\n```"))
    return mould.self_check_problems(notebook, folder / "01_topic.ipynb")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, None),
        (
            {
                "question": "Is 0.77 more than 12 %?",
                "text": "About 0.65.",
                "feedback": "0.77 - 12 % is 0.65.",
            },
            None,
        ),
        ({"feedback": "A gain of {glue:text}`gain:.2f`."}, None),
        ({"count": 4}, "has 4 questions, not 5"),
        ({"place": 0}, "all stand in the same place"),
        ({"right": True, "count": 5, "place": 1}, "question 1 ('Why?') has 2 right answers"),
        ({"feedback": "We saw 0.77."}, "'0.77' of the feedback 'We saw 0.77.' is not in the question"),
        ({"shown": "words"}, "the page shows the self-checks []"),
        ({"shown": "```{self-check} other.check.yml\n```"}, "needs {self-check} 01_topic.check.yml, once"),
        ({"shown": "```{self-check} 01_topic.check.yml\n```\n" * 2}, "01_topic.check.yml, once"),
    ],
)
def test_self_check_of_a_chapter(tmp_path, options, said):
    found = check_problems(tmp_path, **options)
    assert any(said in problem for problem in found) if said else found == [], found


def test_a_missing_self_check_is_caught(tmp_path):
    notebook = book(text("```{self-check} 01_topic.check.yml\n```"))
    found = mould.self_check_problems(notebook, tmp_path / "01_topic.ipynb")
    assert found == ["There is no file 01_topic.check.yml."]


def test_a_stretch_is_named_once_and_the_next_one_too():
    crowd = "word {glue:text}`a`. " * 20
    found = crowded_stretches(crowd + "word " * 400 + crowd)
    assert [problem.partition(" stand")[0] for problem in found] == ["20 glued numbers"] * 2
    assert crowded_sentences("One {glue:text}`a`. Two {glue:text}`b`, {glue:text}`c`.") == []


def test_the_minutes_of_the_study_time_may_be_typed():
    stated = "Study time\n: 40 to 60 minutes, for a newcomer\n\nRun time\n: 40 seconds\n"
    assert study_minutes(stated) == "40 to 60 minutes"
    assert [problem.partition(" is typed")[0] for problem in typed_numbers_in(stated)] == ["'40 seconds'"]
    assert len(typed_numbers_in(stated.replace("for", "0.77 for"))) == 2
    assert study_minutes("Study time\n: an hour") is None


# --- numbers in prose --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markdown", "number"),
    [
        ("It scores .77 here", ".77"),
        ("from **0.7**1 up", "0.71"),
        ("It has 4.65M parameters.", "4.65"),
        ("A gain of −0.03.", "0.03"),
        ("The loss is 2e-5.", "2e-5"),
        ("about 77 % of them", "77 %"),
        ("77\u202f% of them", "77\u202f%"),
        ("77&nbsp;% of them", "77\u00a0%"),
        ("77 percent", "77 percent"),
        ("seventy-seven per cent", "seventy-seven per cent"),
        ("12.5 points better", "12.5"),
        ("3 points better", "3 points"),
        ("It is 3 times faster.", "3 times"),
        ("10x cheaper", "10x"),
        ("3× faster", "3×"),
        ("threefold", "threefold"),
        ("three times as many", "three times as"),
        ("twice as fast", "twice as"),
        ("by a factor of ten", "factor of ten"),
        ("It takes 90 s.", "90 s"),
        ("It takes 5 minutes.", "5 minutes"),
        ("It has 23 million parameters.", "23 million"),
        ("It wins on 4 of 5 seeds.", "4 of 5"),
        ("An accuracy of about 77 is seen.", "accuracy of about 77"),
        ("It is $0.77$.", "0.77"),
        ("It is $77\\,\\%$ now.", "77 %"),
        ("It is $77$ %.", "77 %"),
        ("$3\\times$ faster", "3×"),
        ("$\\text{accuracy} = 0.77$", "0.77"),
        ("{math}`0.77`", "0.77"),
        ("a gain of `12 %` here", "12 %"),
        ("# Transfer gives 0.77", "0.77"),
        ("| a | b |\n|---|---|\n| x | 0.77 |", "0.77"),
        ("- item\n  - deep 0.77", "0.77"),
        ("> quoted 0.77", "0.77"),
        ("Note[^a].\n\n[^a]: It was 0.77.", "0.77"),
        ("[the 0.77 result](page.md)", "0.77"),
        ("![a line up to 0.77](plot.png)", "0.77"),
        ("<p>It is <b>0.77</b>.</p>", "0.77"),
        ('<img src="x.png" alt="up to 0.77">', "0.77"),
        ("```{figure} x.png\n:alt: up to 0.77\n:width: 5.5cm\n\nCaption.\n```", "0.77"),
        ("```{figure} x.png\nA caption of 0.77.\n```", "0.77"),
        ("```{admonition} A gain of 0.77\nBody.\n```", "0.77"),
        ("````{note}\n```{tip}\nDeep: 0.77\n```\n````", "0.77"),
        (":::{note}\nIt is 0.77.\n:::", "0.77"),
        ("```{mermaid}\n:caption: up to 0.77\nflowchart LR\nA --> B\n```", "0.77"),
        ("```{mermaid}\nflowchart LR\nA[gains 0.77] --> B\n```", "0.77"),
        ("Cited {cite:p}`x2020`. But ours is 0.77.", "0.77"),
        ("It is 0.77. Cited after {cite}`x2020`.", "0.77"),
        ("{ref}`the 0.77 result <label>`", "0.77"),
        ("{abbr}`acc (0.77)`", "0.77"),
        ("with 95 % of the intervals", "95 %"),
    ],
)
def test_typed_number_is_caught(markdown, number):
    found = [hit for block in prose(markdown) for hit in result_like(block)]
    assert found == [number]
    assert len(typed_numbers_in(markdown)) == 1


@pytest.mark.parametrize(
    "markdown",
    [
        "The gain is {glue:text}`../notebooks/x.ipynb::gain:.2f`, {glue:}`low`, {glue:text}`n`%.",
        "Each review is now 384 numbers; five seeds, 32, 128, 512 and 2,048 labels, 64 tokens.",
        "A 1000-128-10 network with 3×3 and 8 × 8 filters, a 150-second limit, in 2019 and in the 1990s.",
        "The 95 % interval, a 95 % Student $t$ interval, 95 % Student-t intervals.",
        "Python 3.11–3.13, CC BY-SA 4.0, Apache-2.0, CC0-1.0, GPT-3.5, 1.0.4, section 2.1, Figure 3.2.",
        "In version 1.0.",
        "See arXiv:1706.03762, <https://doi.org/10.1145/12.5> and [a page](https://example.org/0.77).",
        "The rate is `0.001` or `2e-5`; the bound is `above=0.05`.",
        "With $\\alpha = 0.1$ and $\\lambda_i \\le 0.77$, $x_{0.5}$, $n = 12.5$, $1/2$, $[0, 1]$ and $10$.",
        "$$0.77$$",
        "\\begin{align}\n0.77 &= x\n\\end{align}",
        "```{math}\n0.77\n```",
        "```\n0.77\n```",
        "```{code-block} python\nx = 0.77\n```",
        "Brown et al. {cite}`brown2020` report 0.77, i.e. 77 %, with 175 billion parameters.",
        "| model | accuracy |\n|---|---|\n| theirs {cite:t}`x` | 0.77 |",
        "```{image} x.png\n:alt: A quiet drawing\n:width: 60.5%\n:scale: 50 %\n```",
        "```{figure} plots-0.77/x.png\n:figwidth: 80%\nA caption.\n```",
        "<!-- 0.77 --><div style='width: 60.5%'>words</div>",
        "---\ntitle: 0.77\n---\nwords",
        "{doc}`../part1/02_x` and {ref}`label-0.7` and {eq}`e1.5`.",
        "Two of the seven classes, half of them; run it three times, twice the rate, two points.",
        "The loss of 2 classes; the error of one; a score is 5.",
    ],
)
def test_innocent_number_passes(markdown):
    assert typed_numbers_in(markdown) == []


def test_sentences_end_where_they_end():
    assert sentences("One, e.g. this. Two et al. 2019! “Three.” Four 0.77?") == [
        "One, eg this.", "Two et al 2019!", "“Three.", "Four 0.77?",
    ]  # fmt: skip


def test_directives_are_found_inside_directives():
    found = list(
        directives("````{note} Title\n---\nclass: tip\n---\n```{figure} x.png\n:alt: A\n\nCaption\n```\n````")
    )
    assert [(one.name, one.title, one.options) for one in found] == [
        ("note", "Title", {"class": "tip"}),
        ("figure", "x.png", {"alt": "A"}),
    ]


# --- claims, contents, redefinitions, imports --------------------------------------------------------------


def test_claim_calls_are_read_with_their_names_and_kinds():
    source = (
        "%matplotlib inline\n"
        "claim('a.b', x, above=1)\n"
        "for n in sizes:\n    claims.claim(f'gain_{n}', x, kind='chance', above=0)\n"
        "claim_equal(name='c', actual=x, expected=y)\n"
        "other('claim')\n"
    )
    found = rules.claim_calls(book(code(source)))
    assert [call.kind for call in found] == ["comparison", "chance", "equal"]
    assert [call.sheltered for call in found] == [False] * 3
    assert found[1].covers("gain_32")
    assert not found[1].covers("loss_32")
    assert found[0].covers("a.b")
    assert not found[0].covers("a_b")


def toc(root: Path, *files: str, present: tuple[str, ...]) -> list[str]:
    chapters = "".join(f"      - file: {name}\n        sections: []\n" for name in files)
    (root / "_toc.yml").write_text(f"root: book/index\nparts:\n  - caption: One\n    chapters:\n{chapters}")
    for name in ("book/index.md", *present):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return rules.contents_problems(root)


def test_contents_pass(tmp_path):
    assert toc(tmp_path, "notebooks/p/a", "book/b.md", present=("notebooks/p/a.ipynb", "book/b.md")) == []


@pytest.mark.parametrize(
    ("listed", "present", "said"),
    [
        (("book/b",), (), "names book/b, but there is no such page"),
        ((), ("notebooks/p/a.ipynb",), "notebooks/p/a.ipynb is not in _toc.yml"),
        (("book/b", "book/b"), ("book/b.md",), "book/b twice"),
    ],
)
def test_contents_are_caught(tmp_path, listed, present, said):
    problems = toc(tmp_path, *listed, present=present)
    assert any(said in problem for problem in problems), problems


def needing(root: Path, box: str, *pages: str) -> list[str]:
    """The problems of chapter p/b, whose box is given, between a and c."""
    toc(
        root,
        "notebooks/p/a",
        "notebooks/p/b",
        "notebooks/p/c",
        present=("notebooks/p/a.md", "notebooks/p/c.md"),
    )
    notebook = book(text(f"# T\n\n:::{{admonition}} At a glance\n:class: glance\n\n{box}\n:::"))
    (root / "notebooks/p/b.ipynb").write_text(nbformat.writes(notebook))
    return rules.need_problems(root)


@pytest.mark.parametrize(
    "box",
    [
        "You need\n: vectors; [a](a.ipynb), [the notation](../../book/index.md#symbols)",
        "You need\n: nothing\n\nData and models\n: see [c](c.ipynb)",
        "Before\n: [c](c.ipynb)\n\nYou need\n: [a](a.md)\n\nAfter\n: [c](c.ipynb)",
        "You need\n: [a site](https://example.org/c.ipynb)",
    ],
)
def test_what_comes_before_may_be_needed(tmp_path, box):
    assert needing(tmp_path, box) == []


@pytest.mark.parametrize(
    "address", ["c.ipynb", "c.ipynb#part", "b.ipynb", "../../book/none.md", "../../../x.md"]
)
def test_what_comes_later_may_not_be_needed(tmp_path, address):
    found = needing(tmp_path, f"Study time\n: 1\n\nYou need\n: words and\n  [it]({address})")
    assert len(found) == 1
    assert found[0].startswith("notebooks/p/b needs ")


PUBLIC = {"coral_loss": "adaptation", "fit": "training"}


@pytest.mark.parametrize(
    "source",
    [
        "def coral_loss(a, b): return 0",
        "class coral_loss: pass",
        "coral_loss = lambda a, b: 0",
        "if True:\n    def coral_loss(a, b): return 0",
        "%time\nasync def coral_loss(a, b): return 0",
        "try:\n    pass\nexcept ValueError:\n    def coral_loss(): ...",
    ],
)
def test_redefinition_is_caught(source):
    assert "redefines coral_loss" in rules.redefinition_problems(book(code(source)), PUBLIC)[0]


@pytest.mark.parametrize(
    "notebook",
    [
        book(code("def coral_loss(a, b): return 0"), home_of=["coral_loss"]),
        book(code("from transferbook.learning.training import fit\nfit(x)\nfitted = fit")),
        book(code("class Model:\n    def fit(self): pass")),
        book(code("def coral(a):\n    def fit(b): pass\n    return fit")),
    ],
)
def test_other_definitions_pass(notebook):
    assert rules.redefinition_problems(notebook, PUBLIC) == []


def test_home_must_be_one():
    found = rules.redefinition_problems(book(code("def mine(): pass"), home_of=["mine", "fit"]), PUBLIC)
    assert found == [
        "home_of names mine, which the package lacks",
        "home_of names fit, which no cell defines",
    ]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("print('hello')", "prints 'hello"),
        ("import warnings; warnings.warn('old')", "UserWarning: old"),
        ("import pathlib\n(pathlib.Path.home() / 'x').touch()", "writes home/x"),
        ("open('log.txt', 'w').close()", "writes here/log.txt"),
        ("import tempfile; tempfile.mkstemp()", "writes scratch/"),
        ("import socket\ntry: socket.getaddrinfo('localhost', 9)\nexcept OSError: pass", "asks the network"),
        ("import no_such_module", "No module named 'no_such_module'"),
    ],
)  # fmt: skip
def test_import_is_caught(tmp_path, source, said):
    (tmp_path / "planted.py").write_text(source + "\n")
    problems = rules.import_problems(["planted"], tmp_path)
    assert any(said in problem for problem in problems), problems


def test_quiet_import_passes(tmp_path):
    (tmp_path / "planted.py").write_text("import json, socket\nx = 1\n")
    assert rules.import_problems(["planted"], tmp_path) == []
