"""The program as its users meet it: training, the one file, predictions, the report and the command line."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from transferbook import __main__ as command
from transferbook.data.datasets import read_image
from transferbook.data.splits import Part, Splits
from transferbook.program import (
    candidates,
    classify,
    model_file,
    own_parts,
    pairs,
    predictor,
    readers,
    report,
)

GOOD, BAD = ("warm", "funny", "gripping", "lovely"), ("dull", "clumsy", "lifeless", "boring")
QUICK = classify.Settings(seconds=0, max_tokens=12, size=32, cache=False)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty good reviews and twenty bad ones, by three columns."""
    path = tmp_path_factory.mktemp("texts") / "reviews.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "film"])
        for number in range(40):
            writer.writerow([f"a {GOOD[number % 4]} film, <b>no. {number}</b>", "good", f"film {number}"])
        for number in range(20):
            writer.writerow([f"a {BAD[number % 4]} film, no. {number}", "bad", f"film b{number}"])
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures each of rows, columns and noise, larger than the network reads them, and a broken one."""
    root = tmp_path_factory.mktemp("pictures") / "patterns"
    random = np.random.default_rng(0)
    for name in ("columns", "noise", "rows"):
        (root / name).mkdir(parents=True)
        for number in range(10):
            pixels = random.integers(256, size=(48, 48, 3))
            stripes = (np.arange(48) // (3 + number % 3) % 2 * 255)[:, None, None]
            if name != "noise":
                pixels = pixels // 4 + (stripes if name == "rows" else stripes.swapaxes(0, 1)) * 3 // 4
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")
    whole = (root / "noise" / "0.png").read_bytes()
    (root / "noise" / "broken.png").write_bytes(whole[: len(whole) // 2])
    return root


@pytest.fixture(scope="module")
def texts(table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[classify.Model, Path]:
    path = tmp_path_factory.mktemp("models") / "reviews.model"
    return classify.train(table, QUICK, save=path), path


@pytest.fixture(scope="module")
def pictures(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[classify.Model, Path]:
    path = tmp_path_factory.mktemp("models") / "patterns.model"
    with pytest.warns(UserWarning, match=r"broken\.png cannot be read as an image, so it was left out"):
        return classify.train(folder, QUICK, save=path), path


# --- training and the file ---------------------------------------------------------------------------------


def test_the_test_part_is_scored_once_and_never_chooses(table, monkeypatch):
    splits, _ = own_parts.read(table, 32, ("text", "label", None))
    looked = []
    known = set(splits.test.inputs)
    for kind in (readers.NetworkReader, readers.WordReader):
        features = kind.features

        def watched(self, inputs, *, of=features, **options):
            looked.extend([self.kind] * bool(known & set(inputs)))
            return of(self, inputs, **options)

        monkeypatch.setattr(kind, "features", watched)
    model = classify.train(splits, QUICK)
    assert looked == ["texts"]
    shuffled = Part(splits.test.inputs, splits.test.labels.flip(0))
    other = classify.train(Splits("s", splits.train, splits.valid, shuffled, splits.class_names, ""), QUICK)
    assert all(other.card[key] == model.card[key] for key in ("method", "temperature"))
    assert other.card["test"]["accuracy"] != model.card["test"]["accuracy"]


def test_a_model_says_what_it_is(texts, table):
    card = texts[0].card
    assert card["classes"] == ["bad", "good"] and card["kind"] == "texts"
    assert card["measure"] == "f1"  # twice as many good ones
    names = [tried["name"] for tried in card["candidates"]]
    assert len(names) == 14 and sum(name.endswith("equal classes") for name in names) == 7
    assert [sum(card["data"]["counts"][side]) for side in ("train", "valid", "test")] == [39, 9, 12]
    test = card["test"]
    assert test["n"] == 12 and test["accuracy"][1] <= test["accuracy"][0] <= test["accuracy"][2]
    assert card["settings"]["max_tokens"] == 12 and torch.__version__.startswith(card["versions"]["torch"])
    assert "of 14 on validation; trained on 39 texts\ntest accuracy" in str(texts[0])
    assert re.fullmatch(r'Model\("reviews": [^;]+; 2 classes of texts\)', repr(texts[0]))


@pytest.mark.parametrize("kind", ["texts", "pictures"])
def test_a_model_from_its_file_predicts_the_same(kind, request):
    model, path = request.getfixturevalue(kind)
    shown = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    inputs = shown if kind == "pictures" else ["dull", "a film"]
    before, after = model.predict(inputs), classify.load(path).predict(inputs)
    assert torch.equal(before.probabilities, after.probabilities) and before.names == after.names
    assert before.confidence.tolist() == before.probabilities.max(dim=1).values.tolist()
    assert path.stat().st_size < 600_000  # the backbone is not in it


def test_a_model_predicts_the_same_with_the_kernels_of_another_processor(texts, pictures, folder, tmp_path):
    """Torch is made to compute without the vector instructions of this machine, in a process of its own."""
    file = folder / "rows" / "1.png"
    script = (
        "import json, sys, torch\n"
        "from transferbook.program import classify\n"
        "assert torch.backends.cpu.get_cpu_capability() == 'DEFAULT'\n"
        "texts, pictures = (classify.load(path) for path in sys.argv[1:3])\n"
        "said = [texts.predict(['a dull film']), pictures.predict([sys.argv[3]])]\n"
        "print(json.dumps([one.probabilities.tolist() for one in said]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, texts[1], pictures[1], file],
        capture_output=True, text=True, check=True, env=os.environ | {"ATEN_CPU_CAPABILITY": "default"},
    )  # fmt: skip
    here = [texts[0].predict(["a dull film"]), pictures[0].predict([file])]
    for one, there in zip(here, json.loads(done.stdout), strict=True):
        expected = torch.tensor(there, dtype=torch.float64)
        torch.testing.assert_close(one.probabilities, expected, atol=1e-4, rtol=0)


def test_a_fine_tuned_model_is_whole_in_its_file(texts, tmp_path):
    random = predictor.readers.network_reader("minilm", 12)
    with torch.no_grad():
        for parameter in random.backbone.module.parameters():
            parameter.mul_(1.1)
    tuned = classify.Model(texts[0].card, random.trained(random.backbone.module), torch.nn.Linear(384, 2), {})
    card = dict(tuned.card) | {"reader": tuned.reader.describe()}
    tuned = classify.Model(card, tuned.reader, tuned.head.requires_grad_(False), {})
    tuned.save(tmp_path / "tuned.model")
    again = classify.load(tmp_path / "tuned.model")
    state = tuned.reader.backbone.module.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in again.reader.backbone.module.state_dict().items())
    assert torch.equal(tuned.predict(["dull"]).probabilities, again.predict(["dull"]).probabilities)


def test_the_file_remembers_the_size_of_its_pictures(pictures, folder):
    again = classify.load(pictures[1])
    assert again.reader.limit == 32 and "centre 32" in again.reader.backbone.settings
    files = sorted((folder / "rows").glob("*.png"))
    pixels = torch.stack([torch.from_numpy(read_image(file, 32)) for file in files])
    assert torch.equal(again.predict(files).probabilities, again.predict(pixels).probabilities)


def test_pictures_that_cannot_be_read_are_left_out_and_noted(pictures):
    model, _ = pictures
    counts = model.card["data"]["counts"]
    assert sum(sum(side) for side in counts.values()) == 30  # of 31
    assert ["broken.png" in note for note in model.card["data"]["left_out"]] == [True]
    assert model.card["test"]["accuracy"][0] > 0.6


def test_a_class_without_a_readable_picture(folder, tmp_path):
    root = tmp_path / "patterns"
    shutil.copytree(folder, root)
    for file in (root / "rows").iterdir():
        file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(ValueError, match='no picture of the class "rows" on the side train can be read'):
        classify.train(root, QUICK)


def test_a_place_that_cannot_be_written_to_is_refused_before_the_training(table, tmp_path, monkeypatch):
    monkeypatch.setattr(own_parts, "read", lambda *_: pytest.fail("the data were read first"))
    with pytest.raises(model_file.ModelFileError, match="there is no folder"):
        classify.train(table, QUICK, save=tmp_path / "missing" / "a.model")


def test_fine_tuning_where_there_is_time(folder):
    settings = classify.Settings(seconds=None, size=32, max_epochs=1, cache=False, words=False)
    with pytest.warns(UserWarning, match="left out"):
        model = classify.train(folder, settings)
    names = [tried["name"] for tried in model.card["candidates"]]
    assert names[-2:] == ["fine-tuned, 1 epoch at 0.0003", "fine-tuned, 1 epoch at 0.001"]


def test_fine_tuning_starts_from_the_head_that_was_chosen(folder, monkeypatch):
    started = []
    monkeypatch.setattr(candidates, "fine_tunings", lambda reader, head, *_, **__: started.append(head) or [])
    monkeypatch.setattr(candidates, "choose", lambda tried, measure: tried[-1])
    with pytest.warns(UserWarning, match="left out"):
        model = classify.train(folder, classify.Settings(seconds=None, size=32, cache=False))
    assert len(model.card["candidates"]) > 1
    assert len(started) == 1 and torch.equal(started[0].weight, model.head.weight)


def test_few_texts_are_also_paired_and_none_of_the_test_part(table, tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "RUNS", ((2, 1e-4), (2, 3e-5)))
    splits, _ = own_parts.read(table, 32, ("text", "label", None))
    given, tune = [], pairs.contrastive.tune

    def watched(backbone, texts, labels, **options):
        given.append((list(texts), labels.tolist()))
        return tune(backbone, texts, labels, **options)

    monkeypatch.setattr(pairs.contrastive, "tune", watched)
    settings = classify.Settings(seconds=None, max_tokens=12, cache=False, max_epochs=1)
    model = classify.train(splits, settings, save=tmp_path / "a.model")
    names = [tried["name"] for tried in model.card["candidates"]]
    assert sum(name.startswith("pairs, 2 steps at") for name in names) == 16  # half with equal classes
    assert names[-1].startswith("fine-tuned, 1 epoch")  # from a head of the network as it was
    assert given == [(list(splits.train.inputs), splits.train.labels.tolist())] * 2
    given.clear()
    for others in ({"pairs": 0}, {"max_epochs": 0}, {"pairs": 19}):  # 39 texts of two classes
        classify.train(splits, classify.Settings(**asdict(settings) | others))
    assert given == []


def test_a_source_is_tried_and_must_have_the_same_classes(table, tmp_path):
    model = classify.train(table, QUICK, source=table)
    names = " ".join(tried["name"] for tried in model.card["candidates"])
    assert "words, pulled to the source" in names and "probe, pulled to the source" in names
    assert sum(model.card["data"]["counts"]["source"]) == 39
    other = tmp_path / "other.csv"
    other.write_text(table.read_text().replace(",bad,", ",awful,"))
    with pytest.raises(ValueError, match="source has the classes awful, good, and the target bad, good"):
        classify.train(table, QUICK, source=other)


def test_abstentions(texts):
    model, _ = texts
    given = model.predict(["a funny film", "dull"], abstain_below=0.0)
    assert all(given.names) and given.abstained == 0
    between = float(given.confidence.mean())
    some = model.predict(["a funny film", "dull"], abstain_below=between)
    assert some.abstained == 0.5 and some.names.count("") == 1
    assert torch.equal(some.probabilities, given.probabilities)


def test_inputs_and_settings_that_make_no_sense(texts, table):
    for wrong in ([], "one text"):
        with pytest.raises(ValueError, match="needs a list of at least one text or picture"):
            texts[0].predict(wrong)
    with pytest.raises(ValueError, match=r"abstain_below is 2"):
        classify.Settings(abstain_below=2)
    with pytest.raises(ValueError, match=r"seconds is -1"):
        classify.Settings(seconds=-1)
    for wrong in ("pairs", "max_epochs"):
        with pytest.raises(ValueError, match=rf"{wrong} \(-1\)"):
            classify.Settings(**{wrong: -1})
    with pytest.raises(ValueError, match="There is no backbone 'nope'; there are minilm"):
        classify.Settings(backbone="nope")
    with pytest.raises(ValueError, match="efficientnet_lite0 reads pictures, and the data are texts"):
        classify.train(table, classify.Settings(backbone="efficientnet_lite0"))
    with pytest.raises(ValueError, match="There is no folder or table"):
        classify.train(table.parent / "missing", QUICK)


# --- the report --------------------------------------------------------------------------------------------


def test_confusion_counts_true_classes_by_rows():
    counts = report.confusion(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 0, 1]), 3)
    assert counts.tolist() == [[1, 2, 0], [0, 0, 1], [0, 0, 0]]


def test_the_report_is_whole_and_agrees_with_the_card(pictures):
    model = classify.load(pictures[1])
    page = report.page(model)
    assert not re.search(r"(src|href)=\"(?!data:)", page)  # it asks for no other file
    mean, low, high = model.card["test"]["accuracy"]
    assert f"{mean:.3f}, 95 % interval [{low:.3f}, {high:.3f}], {model.card['test']['n']} examples" in page
    assert page.count("<img ") == len(model.card["mistakes"]) and page.count("<circle ") >= 1
    assert "the most frequent class, is right for" in page and " least often: " in page
    assert "broken.png" in page and all(tried["name"] in page for tried in model.card["candidates"])
    cells = [int(n) for n in re.findall(r'<td class="n" style="[^"]*">(\d+)</td>', page)]
    assert len(cells) == 9 and sum(cells) == model.card["test"]["n"]


def test_what_a_reader_wrote_is_text_in_the_report(texts, table):
    model = texts[0]
    mistake = {
        "row": 0, "said": 0, "truth": 1, "confidence": 0.9, "place": "", "text": "<script>a & b</script>"
    }  # fmt: skip
    card = dict(model.card) | {"mistakes": [mistake], "classes": ["<i>bad</i>", "good"]}
    page = report.page(classify.Model(card, model.reader, model.head, model.evidence))
    assert "&lt;script&gt;a &amp; b&lt;/script&gt;" in page
    assert "<script>" not in page and "<i>bad" not in page


def test_many_classes_give_pairs_in_the_place_of_a_matrix(texts, monkeypatch):
    monkeypatch.setattr(report, "MOST_CLASSES", 1)
    model = texts[0]
    evidence = {"test.logits": torch.eye(2)[[0, 0, 1]], "test.labels": torch.tensor([1, 1, 1])}
    page = report.page(classify.Model(model.card, model.reader, model.head, evidence))
    assert "The pairs that are confused most" in page
    assert '<th scope="row">good</th><td>bad</td><td class="n">2</td>' in page


# --- the command line --------------------------------------------------------------------------------------


def run(*arguments: object) -> int:
    return command.main(["classify", *map(str, arguments)])


def test_train_predict_and_report_by_command(table, tmp_path, capsys):
    saved = tmp_path / "a.model"
    options = ["--seconds", 0, "--tokens", 12, "--group", "film", "--pairs", 5, "--save", saved]
    assert run("train", table, *options) == 0
    out = capsys.readouterr().out
    assert "test accuracy" in out and "a.model: 0." in out
    assert 'Always saying "good", the most frequent class' in out and "Fewer than 30 of these" in out
    assert classify.load(saved).card["settings"]["pairs"] == 5
    assert run("report", saved) == 0
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "1.txt").write_text("a warm, lovely film")
    (tmp_path / "new" / "2.txt").write_bytes(b"\xff\xfe\x00")
    capsys.readouterr()
    assert run("predict", saved, table, tmp_path / "new", "--out", tmp_path / "said.csv") == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "1 of 62 inputs could not be read" in captured.err
    with open(tmp_path / "said.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 62 and rows[0]["input"].endswith("reviews.csv, row 1")
    assert rows[60]["label"] == "good" and rows[60]["problem"] == ""
    assert rows[61]["label"] == "" and "not encoded in UTF-8" in rows[61]["problem"]
    shares = [float(rows[0]["p(bad)"]), float(rows[0]["p(good)"])]
    assert sum(shares) == pytest.approx(1, abs=2e-4) and float(rows[0]["confidence"]) == max(shares)
    with gzip.open(tmp_path / "packed.tsv.gz", "wt") as file:
        file.write("no\ttext\n1\ta dull film\n")
    assert run("predict", saved, tmp_path / "packed.tsv.gz") == 0
    assert capsys.readouterr().out.splitlines()[1].endswith(",")
    (tmp_path / "gap.csv").write_text("no,text\n1,a dull film\n2,\n3\n4,a warm film\n")
    assert run("predict", saved, tmp_path / "gap.csv") == 1
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["label"] for row in rows] == ["bad", "", "", "good"]
    assert rows[1]["problem"].endswith("gap.csv, row 2: the text is empty.") and rows[3]["problem"] == ""
    assert run("predict", saved, table, "--abstain-below", 1) == 0
    assert {row["label"] for row in csv.DictReader(capsys.readouterr().out.splitlines())} == {""}


def test_a_folder_of_pictures_by_command(pictures, folder, capsys):
    assert run("predict", pictures[1], folder, folder / "rows" / "1.png") == 1
    captured = capsys.readouterr()
    rows = list(csv.DictReader(captured.out.splitlines()))
    assert len(rows) == 32 and "1 of 32 inputs" in captured.err
    assert [row["input"].rpartition("/")[2] for row in rows if row["problem"]] == ["broken.png"]
    agree = [row["label"] == row["input"].split("/")[-2] for row in rows if not row["problem"]]
    assert sum(agree) > 24


def test_one_sentence_for_what_goes_wrong(table, texts, tmp_path, capsys):
    (tmp_path / "page").mkdir()
    for arguments, said in [
        (("train", tmp_path / "missing"), "There is no folder or table"),
        (("train", table, "--text", "review"), 'has no column "review"; its columns are: text, label, film.'),
        (("train", table, "--save", tmp_path / "no" / "a"), "there is no folder"),
        (("predict", table, table), "is no model that this program saved."),
        (("predict", texts[1], tmp_path / "missing.csv"), "There is no file or folder"),
        (("predict", texts[1], table, "--text", "review"), "film. Name the one that you mean, with --text"),
        (("predict", texts[1], tmp_path), "no texts there."),
        (("predict", texts[1], table, "--out", tmp_path / "no" / "a.csv"), "there is no folder"),
        (("report", texts[1], "--out", tmp_path / "page"), "is a folder"),
    ]:
        assert run(*arguments) == 1, arguments
        captured = capsys.readouterr()
        assert said in captured.err and captured.err.count("\n") == 1 and captured.out == ""
    assert run("train") == 2 and run("classify", "mend") == 2


def test_what_the_disk_says_and_an_interruption_are_one_sentence(table, tmp_path, capsys, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(table))

    monkeypatch.setattr(classify, "train", fail)
    assert run("train", table) == 1
    assert capsys.readouterr().err == f"{table} cannot be read or written (Permission denied).\n"

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(classify, "train", stop)
    assert run("train", table, "--save", tmp_path / "a.model") == 130
    assert capsys.readouterr().err == "\nStopped; nothing was written.\n" and not list(tmp_path.iterdir())
