"""Classifiers as ONNX files: the command, what lies in and beside the file, and its use without torch."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from transferbook.__main__ import main
from transferbook.models import export
from transferbook.program import classify, exported, readers

GOOD, BAD = ("warm", "funny", "gripping", "lovely"), ("dull", "clumsy", "lifeless", "boring")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "reviews.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(60):
            word, label = (GOOD[number % 4], "good") if number % 2 else (BAD[number % 4], "bad")
            writer.writerow([f"a {word} film, no. {number}" + " and so on" * (number % 5), label])
    return path


@pytest.fixture(scope="module")
def reviews(table) -> Path:
    path = table.with_name("reviews.model")
    settings = classify.Settings(seconds=0, max_tokens=12, cache=False, words=False)
    model = classify.train(table, settings)
    model.card["temperature"] *= 3  # so that it shows whether it counts
    model.save(path)
    return path


@pytest.fixture(scope="module")
def patterns(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for name in ("columns", "rows"):
        (root / "patterns" / name).mkdir(parents=True)
        for number in range(10):
            stripes = (np.arange(48) // (3 + number % 3) % 2 * 155)[:, None, None]
            noise = random.integers(100, size=(48, 48, 3))
            pixels = noise + (stripes if name == "rows" else stripes.swapaxes(0, 1))
            Image.fromarray(pixels.astype(np.uint8)).save(root / "patterns" / name / f"{number}.png")
    settings = classify.Settings(seconds=0, size=32, cache=False)
    classify.train(root / "patterns", settings, save=root / "patterns.model")
    return root / "patterns.model"


def test_texts_are_exported_with_all_that_is_needed_and_decide_alike(reviews, table, capsys):
    assert main(["export", str(reviews), "--on", str(table)]) == 0
    said = capsys.readouterr().out
    assert "reviews.onnx: 90." in said and "reviews.tokenizer.json: its tokenizer" in said
    assert re.search(r"alike on all 60 given examples; probabilities differ by at most [0-9.]+e-0[5-9]", said)
    model, known = classify.load(reviews), export.metadata(reviews.with_suffix(".onnx"))
    assert known["classes"] == ["bad", "good"] and known["kind"] == "texts"
    assert known["test"] == model.card["test"] and known["temperature"] == model.card["temperature"]
    assert known["reader"]["limit"] == 12 and known["inputs"].keys() == {"input_ids", "attention_mask"}


def test_the_page_tells_how_to_use_it_without_torch(reviews, table, tmp_path):
    if not reviews.with_suffix(".onnx").exists():
        assert main(["export", str(reviews)]) == 0
    page = (ROOT / "book/how_to_use.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```python\n(import json, numpy.*?)```", page, re.DOTALL)
    recipe += "import sys\nprint(json.dumps(probabilities.tolist()), 'torch' in sys.modules)\n"
    done = subprocess.run(
        [sys.executable, "-c", recipe], cwd=reviews.parent, capture_output=True, text=True, check=True
    )
    classes, numbers = done.stdout.splitlines()
    assert classes == "['good', 'bad']" and numbers.endswith("False")
    expected = classify.load(reviews).predict(["a lovely film", "a dull one"]).probabilities
    found = torch.tensor(json.loads(numbers.removesuffix("False")), dtype=torch.float64)
    assert torch.allclose(found, expected, atol=1e-5)


def test_int8_says_what_it_costs(reviews, table, capsys, tmp_path):
    out = tmp_path / "small.onnx"
    assert main(["export", str(reviews), str(out), "--int8", "--on", str(table)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"90\.\d MB with weights of 32 bits, 2[23]\.\d MB with 8\n", said)
    assert re.search(r"(alike on all|otherwise on \d+ of the) 60 given examples", said)
    assert out.stat().st_size < 24e6
    model = classify.load(reviews)
    check = exported.export_model(model, out, ["a dull film", "a lovely film", "odd"], int8=True)
    assert (check.examples, check.after) == (3, out.stat().st_size) and check.before > 90e6
    assert 1e-6 < check.largest < 0.3


def test_pictures_are_given_as_pixels(patterns, capsys):
    assert main(["export", str(patterns)]) == 0
    assert "alike on all 2 kept examples" in capsys.readouterr().out
    model, file = classify.load(patterns), patterns.with_suffix(".onnx")
    pictures = torch.randint(256, (5, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    found = export.OnnxModule(file)(pictures)
    assert torch.allclose(found.double(), model.predict(pictures).probabilities, atol=1e-5)
    assert "(N, 3, 32, 32)" in export.metadata(file)["inputs"]["pictures"]
    assert not exported.tokenizer_file(file).exists()


def test_words_are_given_as_counts(reviews, table, tmp_path):
    texts = ["a dull dull film and a lovely one", "no. 3", "?", "lovely lovely lovely"]
    reader = readers.WordReader.of([*GOOD, *BAD, *texts])
    torch.manual_seed(0)
    head = nn.Linear(len(reader.vocabulary), 2).requires_grad_(False)
    model = dataclasses.replace(classify.load(reviews), reader=reader, head=head)
    check = exported.export_model(model, tmp_path / "words.onnx", texts)
    assert check.changed == 0 and check.largest < 1e-6 and check.examples == 4
    assert export.metadata(tmp_path / "words.onnx")["reader"]["words"] == list(reader.vocabulary)
    assert not exported.tokenizer_file(tmp_path / "words.onnx").exists()


def test_a_file_that_decides_otherwise_is_not_written(patterns, tmp_path, monkeypatch):
    wrong = export.OnnxModule.forward
    monkeypatch.setattr(export.OnnxModule, "forward", lambda self, *given: wrong(self, *given).flip(1))
    model = classify.load(patterns)
    pictures = exported.kept_examples(model)
    with pytest.raises(ValueError, match=r"otherwise than the model on 2 of 2 examples, .* written\.$"):
        exported.export_model(model, tmp_path / "wrong.onnx", pictures)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="at least one text or picture"):
        exported.export_model(model, tmp_path / "wrong.onnx", pictures[:0])


def test_the_examples_that_a_model_keeps_are_its_mistakes_and_stand_ins(patterns, reviews):
    model = classify.load(patterns)
    shown = torch.randint(256, (3, 3, 96, 96), dtype=torch.uint8)
    more = dataclasses.replace(model, evidence={**model.evidence, "mistakes.pictures": shown})
    kept = exported.kept_examples(more)
    assert kept.shape == (5, 3, 32, 32) and kept.dtype == torch.uint8
    assert torch.equal(kept[:3], shown[:, :, 1::3, 1::3]) or torch.equal(kept[:3], shown[:, :, ::3, ::3])
    texts = classify.load(reviews)
    texts.card["mistakes"] = [{"text": "the worst", "said": 1, "truth": 0, "confidence": 1.0, "place": ""}]
    assert exported.kept_examples(texts) == ["the worst", "bad", "good"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no.model"], "There is no model .*no.model; check the name."),
        (["MODEL", "out.txt"], "out.txt has another ending than .onnx; give it that one."),
        (["MODEL", "no/out.onnx"], "there is no folder .*no; make it first."),
        (["MODEL", "--on", "nothing.csv"], "There is no file or folder .*nothing.csv; check the name."),
        (["MODEL", "--on", "empty"], "empty: no texts there."),
    ],
)
def test_bad_input_gets_one_sentence(reviews, tmp_path, monkeypatch, capsys, arguments, said):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["export", *(str(reviews) if word == "MODEL" else word for word in arguments)]) == 1
    err = capsys.readouterr().err
    assert re.search(said, err) and err.count("\n") == 1
    assert not list(tmp_path.glob("*.onnx"))
