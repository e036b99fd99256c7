"""A saved classifier on other labelled examples: what it is scored on, and what is said of the change."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from transferbook import __main__ as command
from transferbook.data.splits import Part
from transferbook.evidence import intervals
from transferbook.program import classify, examine

QUICK = classify.Settings(seconds=0, max_tokens=12, size=32, cache=False, max_epochs=0)
WORDS = {"good": "warm and funny", "bad": "dull and clumsy"}


def table(path: Path, rows: list[tuple[str, str]], header: tuple[str, str] = ("text", "label")) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examine")
    rows = [(f"a {WORDS[name]} film, no. {number}", name) for number in range(30) for name in WORDS]
    classify.train(table(folder / "old.csv", rows), QUICK, save=folder / "a.model")
    return folder / "a.model"


def run(*arguments: object) -> int:
    return command.main(["classify", "test", *map(str, arguments)])


def test_new_examples_are_scored_by_their_own_labels(saved, tmp_path, capsys):
    rows = [(f"a {WORDS[name]} story {number}", name) for number in range(10) for name in WORDS]
    rows += [(f"a {WORDS['bad']} tale {number}", "good") for number in range(4)]
    model = classify.load(saved)
    part = examine.labelled(model, table(tmp_path / "new.csv", rows))
    found = examine.examine(model, part)
    assert model.classes == ["bad", "good"] and found.confused.tolist() == [[10, 0], [4, 10]]
    assert found.scores["accuracy"][0] == pytest.approx(20 / 24) and found.scores["n"] == 24
    test = model.card["test"]
    assert test["accuracy"][0] == 1  # the rows of the two classes have no word in common
    now, then = intervals.binomial(20, 24), intervals.binomial(test["n"], test["n"])
    assert found.change == intervals.weighted_sum([now, then], [1, -1])
    assert found.change.mean == pytest.approx(20 / 24 - 1)
    assert run(saved, tmp_path / "new.csv") == 0
    out = capsys.readouterr().out
    assert out.startswith("accuracy 0.83 [0.64, 0.93] over 24 labelled examples, macro F1 ")
    assert 'It finds "good" least often: 10 of 14' in out and "-0.167 [" in out
    assert "which may be luck of the examples." in out


def test_a_model_that_has_become_worse_is_called_worse(saved, tmp_path):
    model = classify.load(saved)
    wrong = [(f"a {WORDS['bad']} story {number}", "good") for number in range(20)]
    more = [(f"a {WORDS['bad']} story {number}", "bad") for number in range(20)]
    found = examine.examine(model, examine.labelled(model, table(tmp_path / "new.csv", wrong + more)))
    assert found.change.high < 0 and str(found).endswith(", worse.")
    assert "It is not surely better than that" in str(found)
    right = examine.examine(model, Part(["a warm and funny story"] * 3, torch.tensor([1] * 3)), 0.999999)
    assert right.scores["abstained"] in (0, 1) and "Always saying" not in str(right)


def test_columns_may_have_other_names_and_labels_other_spellings(saved, tmp_path):
    model = classify.load(saved)
    path = table(tmp_path / "b.csv", [("a warm film", " good "), ("a dull one", "bad")], ("said", "how"))
    assert examine.labelled(model, path, "said", "how").labels.tolist() == [1, 0]


def test_pictures_come_in_folders(tmp_path):
    generator = np.random.default_rng(0)
    for part, count in (("old", 10), ("new", 4)):
        for name, level in (("dark", 30), ("light", 220)):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = (level + generator.integers(-20, 20, (40, 40, 3))).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png")
    model = classify.train(tmp_path / "old", QUICK, save=tmp_path / "a.model")
    (tmp_path / "new" / "dark" / "broken.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match=r"broken\.png cannot be read as an image, so it was left out"):
        part = examine.labelled(model, tmp_path / "new")
    found = examine.examine(model, part)
    assert found.confused.sum(dim=1).tolist() == [4, 4] and found.scores["accuracy"][0] == 1
    (tmp_path / "new").rename(tmp_path / "train")
    (tmp_path / "all").mkdir()
    (tmp_path / "train").rename(tmp_path / "all" / "train")
    with pytest.raises(ValueError, match=r"holds sides; give the folder of one, such as .*test\.$"):
        examine.labelled(model, tmp_path / "all")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a warm film", "good"), ("a film", "odd")], 'has the class "odd", which the model does not know'),
        ([("a warm film", "good"), ("a film", "")], 'line 3: "label" is empty'),
        ([], "new.csv holds no example."),
    ],
)
def test_what_cannot_be_scored_gets_a_sentence(saved, tmp_path, capsys, rows, said):
    assert run(saved, table(tmp_path / "new.csv", rows)) == 1
    assert said in capsys.readouterr().err


def test_a_wrong_place_gets_a_sentence(saved, tmp_path, capsys):
    assert run(saved, tmp_path / "none.csv") == 1
    assert "There is no folder or table" in capsys.readouterr().err
    assert run(saved, tmp_path) == 1
    assert "the model takes texts; give a table of texts." in capsys.readouterr().err
