"""The card of a model: everything on it is what the run wrote, and what gives reason to warn is there."""

from __future__ import annotations

import copy
import csv
import hashlib
import re
from pathlib import Path

import pytest
import torch

from transferbook import __main__ as command
from transferbook.data import datasets
from transferbook.data.own_images import ImageFiles
from transferbook.data.splits import Part, Splits
from transferbook.program import card, classify, exported, own_parts, predictor

QUICK = classify.Settings(seconds=0, max_tokens=12, cache=False, max_epochs=0, group="film", seed=3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[classify.Model, Path]:
    folder = tmp_path_factory.mktemp("card")
    with open(folder / "reviews.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "film"])
        for number in range(60):
            good = number % 3 > 0
            said = "warm and funny" if good or number % 7 == 0 else "dull and clumsy"
            writer.writerow([f"a {said} film, no. {number}", "good" if good else "bad", f"film {number}"])
    path = folder / "reviews.model"
    return classify.train(folder / "reviews.csv", QUICK, save=path), path


@pytest.fixture
def about(saved: tuple[classify.Model, Path]) -> dict:
    return copy.deepcopy(card.facts(saved[0]))


def rows(page: str) -> dict[str, list[str]]:
    """First cell of each row of the tables -> the others."""
    cells = [re.split(r"(?<!\\) ?\| ?", line.strip("| ")) for line in page.splitlines() if line[:1] == "|"]
    return {first: others for first, *others in cells}


def written(about: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page of a model of which this is known."""
    monkeypatch.setattr(card, "facts", lambda _: about)
    monkeypatch.setattr(card, "_load", lambda _: None)
    (tmp_path / "a.model").write_bytes(b"model")
    return card.page(tmp_path / "a.model")


def test_a_card_says_what_the_run_wrote(saved):
    model, path = saved
    page = card.page(path)
    found = rows(page)
    counts, test = model.card["data"]["counts"], model.card["test"]
    assert found["bad"] != found["good"]
    learned, chosen, scored = (sum(counts[side]) for side in ("train", "valid", "test"))
    assert found["Labels"] == [f"{learned} to learn from, {chosen} to choose by, {scored} to score once"]
    assert found["Split"] == ["whole groups of the column film"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() in found["File"][0]
    assert found["Hash"] == [f"SHA-256 {model.card['data']['sha256']} of all examples and labels"]
    mean, low, high = test["accuracy"]
    assert found["Accuracy"] == [rf"{mean:.3f} \[{low:.3f}, {high:.3f}\]"]
    assert "Apache-2.0" in found["Reads by"][0] or "words" in found["Reads by"][0]
    assert "with the seed 3;" in page and "not known here" in found["Licence"][0]


def test_each_class_is_counted_as_by_hand(saved):
    model, path = saved
    labels = model.evidence["test.labels"].tolist()
    said = model.evidence["test.logits"].argmax(dim=1).tolist()
    found = rows(card.page(path))
    assert set(labels) == {0, 1} and labels != said
    for row, name in enumerate(model.classes):
        tested = sum(label == row for label in labels)
        right = sum(label == guess == row for label, guess in zip(labels, said, strict=True))
        count, share, precision = found[name]
        assert int(count) == tested and share.startswith(f"{right / tested:.2f} ")
        named = sum(guess == row for guess in said)
        assert precision == (f"{right / named:.2f}" if named else "never said")


def test_the_data_s_licence_is_told_where_the_book_knows_it(about, tmp_path, monkeypatch):
    splits = datasets.rotten_tomatoes(limit=40)
    about["data"]["from"] = splits.provenance
    found = rows(written(about, tmp_path, monkeypatch))
    assert found["Licence"] == ["no formal licence"]


def test_a_card_warns_of_what_the_run_showed(about, tmp_path, monkeypatch):
    about |= {"tested": [40, 20], "found": [38, 8], "said": [50, 10]}
    about["test"] |= {"n": 60, "accuracy": [46 / 60, 0.68, 0.86]}
    page = written(about, tmp_path, monkeypatch)
    warnings = page.partition("must not be used for")[2]
    assert 'to miss "good", the class that it finds least often: 40% [22%, 61%]' in warnings
    assert 'about "good": fewer than 30' in warnings and '"bad", "good"' not in warnings
    assert "names one of them all the same." in warnings and "Any use at all" not in warnings
    about["found"] = [39, 2]
    about["settings"]["abstain_below"] = 0.6
    warnings = written(about, tmp_path, monkeypatch).partition("must not be used for")[2]
    assert "not surely better than always naming the most frequent class" in warnings
    assert "the same, unless it abstains." in warnings


def test_names_do_nothing_on_a_card(about, tmp_path, monkeypatch):
    about["classes"] = ["a|b", "<script>c\n# d</script>"]
    page = written(about, tmp_path, monkeypatch)
    assert page.count("\n# ") == 0 and "<script" not in page
    shape = {line.count("|") - line.count(r"\|") for line in page.splitlines() if r"a\|b |" in line}
    assert shape == {5}  # of the tables of the classes, four cells each
    html = card.as_html(page)
    assert "<script" not in html and "<h1>Model card: a</h1>" in html
    assert re.search(r"<td>a\|b</td>\s*<td[^>]*>\d", html)


def test_the_hash_of_the_data_is_that_of_every_text_label_and_pixel(tmp_path):
    def digest(inputs, labels=(0, 1), test=None) -> str:
        part = Part(inputs, torch.tensor(labels))
        return own_parts.digest(Splits("a", part, part, part if test is None else test, ("a", "b"), "here"))

    texts = digest(["one", "two"])
    assert texts == digest(["one", "two"]) and len(texts) == 64
    others = [digest(["one", "tw"]), digest(["two", "one"]), digest(["one", "two"], (1, 0))]
    others.append(digest(["one", "two"], test=Part(["one", "TWO"], torch.tensor([0, 1]))))
    assert len({texts, *others}) == 5
    pixels = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    brighter = pixels.clone()
    brighter[1, 2, 3, 3] = 1
    assert digest(pixels) != digest(brighter)
    for number, content in enumerate((b"a", b"b", b"c")):
        (tmp_path / f"{number}.png").write_bytes(content)
    first, other = (ImageFiles((tmp_path / "0.png", tmp_path / f"{number}.png"), 4) for number in (1, 2))
    assert digest(first) != digest(other)


def test_an_exported_model_has_the_card_of_its_original(saved, tmp_path):
    _, path = saved
    out = tmp_path / "reviews.onnx"
    exported.export_model(predictor.load(path), out, ["a warm film", "a dull film"])
    ours, original = rows(card.page(out)), rows(card.page(path))
    assert ours.pop("Exported") and "reviews.onnx" in ours.pop("File")[0] and original.pop("File")
    assert ours == original


def test_the_command_prints_or_writes(saved, tmp_path, capsys):
    _, path = saved
    assert command.main(["card", str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed == card.page(path)
    for name in ("card.md", "card.html"):
        assert command.main(["card", str(path), "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "card.md").read_text(encoding="utf-8") == printed
    assert "<table>" in (tmp_path / "card.html").read_text(encoding="utf-8")
    capsys.readouterr()
    plain = tmp_path / "plain.onnx"
    plain.write_bytes(b"none")
    for given in (["none.model"], [str(plain)], [str(path), "--out", str(tmp_path / "card.txt")]):
        assert command.main(["card", *given]) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and said.endswith(".\n") and "Traceback" not in said
