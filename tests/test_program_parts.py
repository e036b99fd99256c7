"""The parts of the program: calibration, the model file, readers and candidates."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from transferbook.data.splits import Part
from transferbook.evidence import metrics
from transferbook.learning import transfer
from transferbook.models import backbones
from transferbook.program import calibration, candidates, model_file, pairs, readers

TEXTS = ["a warm and funny film", "dull, clumsy and far too long a mess", "warm", "a mess of a film"]


@pytest.fixture(scope="module")
def texts() -> readers.NetworkReader:
    return readers.network_reader("minilm", 16)


@pytest.fixture(scope="module")
def pictures() -> readers.NetworkReader:
    return readers.network_reader("efficientnet_lite0", 32)


# --- calibration -------------------------------------------------------------------------------------------


def test_the_temperature_that_was_planted_is_found():
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 4, generator=random)
    labels = torch.multinomial(logits.softmax(1), 1, generator=random).flatten()
    for planted in (0.5, 1.0, 3.0):
        assert calibration.fit_temperature(planted * logits, labels) == pytest.approx(planted, rel=0.03)


def test_a_few_right_answers_do_not_ask_for_certainty():
    logits = 50 * torch.eye(3)[torch.arange(12) % 3]
    confidence = (logits / calibration.fit_temperature(logits, torch.arange(12) % 3)).softmax(1).max()
    assert float(confidence) == pytest.approx(13 / 14, abs=1e-3)  # as by Laplace's rule of succession


def test_a_temperature_needs_data_of_the_right_shape():
    with pytest.raises(ValueError, match=r"got \(3, 2\) and \(2,\)"):
        calibration.fit_temperature(torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="finite"):
        calibration.fit_temperature(torch.tensor([[torch.nan, 1.0]]), torch.tensor([0]))


def test_it_abstains_below_the_bound_and_not_at_it():
    probabilities = torch.tensor([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]])
    assert calibration.decide(probabilities).tolist() == [0, 0, 1]
    assert calibration.decide(probabilities, 0.75).tolist() == [0, -1, 1]
    with pytest.raises(ValueError, match=r"abstain_below is 1\.5"):
        calibration.decide(probabilities, 1.5)


def test_the_reliability_diagram_agrees_with_the_calibration_error():
    random = torch.Generator().manual_seed(1)
    probabilities = torch.randn(300, 3, generator=random, dtype=torch.float64).softmax(1)
    labels = torch.randint(3, (300,), generator=random)
    found = calibration.reliability(probabilities, labels)
    assert sum(bin.count for bin in found) == 300
    error = sum(bin.count * abs(bin.accuracy - bin.confidence) for bin in found) / 300
    assert error == pytest.approx(metrics.calibration_error(probabilities, labels), abs=1e-12)
    edge = calibration.reliability(torch.tensor([[0.5, 0.5], [0.51, 0.49]]), torch.tensor([0, 1]))
    assert [(bin.count, bin.accuracy) for bin in edge] == [(1, 1.0), (1, 0.0)]


# --- the model file ----------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tensors = {"w": torch.randn(3, 4).T, "n": torch.arange(3), "x": torch.tensor([1e-45, -0.0, torch.inf])}
    model_file.write(tmp_path / "a.model", {"classes": ["ä", "b"], "share": 0.1}, tensors)
    return tmp_path / "a.model"


def test_card_and_tensors_come_back_bit_for_bit(tmp_path):
    tensors = {"w": torch.randn(3, 4).T, "n": torch.arange(3), "x": torch.tensor([1e-45, -0.0, torch.inf])}
    card = {"classes": ["ä", "b"], "share": 0.1, "none": None}
    model_file.write(tmp_path / "a.model", card, tensors)
    found, back = model_file.read(tmp_path / "a.model")
    assert found == card | {"format": 1}
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name].view(torch.uint8), tensor.contiguous().view(torch.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["a.model"]  # nothing half-written stays


@pytest.mark.parametrize("kept", [60, 200, -1])
def test_a_file_that_was_cut_short(model, kept):
    model.write_bytes(model.read_bytes()[:kept])
    with pytest.raises(model_file.ModelFileError, match=r"a\.model is damaged or was cut short; copy it"):
        model_file.read(model)


def test_a_file_with_one_bit_turned(model):
    content = bytearray(model.read_bytes())
    for place in (content.index(b"share") + 1, len(content) - 1):  # in the card, in a tensor
        changed = content.copy()
        changed[place] ^= 1
        model.write_bytes(changed)
        with pytest.raises(model_file.ModelFileError, match="is damaged"):
            model_file.read(model)


def test_files_that_are_no_models(tmp_path):
    with pytest.raises(model_file.ModelFileError, match="There is no model"):
        model_file.read(tmp_path / "missing.model")
    other = tmp_path / "other.safetensors"
    save_file({"w": torch.zeros(2)}, other)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("review,label\n" * 50)
    for name in ("other.safetensors", "empty", "text"):
        with pytest.raises(model_file.ModelFileError, match="is no model that this program saved"):
            model_file.read(tmp_path / name)


def test_a_newer_format_is_refused(tmp_path):
    newer = {"transferbook": json.dumps({"format": 2, "checksum": "of another kind"})}
    save_file({"w": torch.zeros(2)}, tmp_path / "new.model", metadata=newer)
    with pytest.raises(model_file.ModelFileError, match=r"has format 2, and this version .* up to 1; update"):
        model_file.read(tmp_path / "new.model")


def test_where_a_model_cannot_be_saved(tmp_path, model, monkeypatch):
    assert model_file.check_target(model) == model  # an older model may be replaced
    with pytest.raises(model_file.ModelFileError, match=r"there is no folder .*missing; make it first"):
        model_file.check_target(tmp_path / "missing" / "a.model")
    with pytest.raises(model_file.ModelFileError, match="is a folder"):
        model_file.check_target(tmp_path)
    (tmp_path / "reviews.csv").write_text("text,label\n")
    with pytest.raises(model_file.ModelFileError, match=r"reviews\.csv is there already and is no model"):
        model_file.check_target(tmp_path / "reviews.csv")

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(model_file.tempfile, "TemporaryFile", refuse)
    with pytest.raises(model_file.ModelFileError, match=r"cannot be written to .*denied"):
        model_file.check_target(tmp_path / "new.model")


def test_a_disk_that_fills_up_leaves_the_old_model(model, monkeypatch):
    before = model.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_file.files.os, "replace", full)
    with pytest.raises(model_file.ModelFileError, match=r"cannot be written .no space is left.; choose"):
        model_file.write(model, {}, {"w": torch.zeros(2)})
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == ["a.model"]


# --- readers -----------------------------------------------------------------------------------------------


def test_texts_are_padded_to_their_batch_only(texts):
    loader = texts.batches(["a film"] * 4 + ["a film " * 5] * 4, torch.arange(8), batch_size=4)
    loader.generator.manual_seed(1)
    widths = set()
    for inputs, labels in loader:
        longest = 12 if labels.max() > 3 else 4  # words and two marks
        assert inputs["input_ids"].shape == (4, longest)
        widths.add(longest)
    alone = texts.batches(["a film"] * 4, torch.arange(4), batch_size=4)
    assert next(iter(alone))[0]["input_ids"].shape == (4, 4)


def test_batches_are_re_iterable_and_in_another_order_each_time(texts):
    loader = texts.batches(TEXTS * 4, torch.arange(16), batch_size=5, seed=3)
    first, second = (torch.cat([labels for _, labels in loader]).tolist() for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(16)) and first != second
    again = texts.batches(TEXTS * 4, torch.arange(16), batch_size=5, seed=3)
    assert torch.cat([labels for _, labels in again]).tolist() == first


def test_pictures_are_varied_for_training_alone(pictures):
    shown = torch.randint(256, (6, 3, 32, 32), dtype=torch.uint8)
    plain = pictures.batches(shown, torch.arange(6), batch_size=6)
    pixels, labels = next(iter(plain))
    assert torch.equal(pixels, pictures.backbone.prepare(shown[labels]))
    varied, labels = next(iter(pictures.batches(shown, torch.arange(6), batch_size=6, augment=True)))
    assert varied.shape == pixels.shape
    assert not torch.equal(varied, pictures.backbone.prepare(shown[labels]))


def test_features_do_not_depend_on_how_pictures_are_handed_over(pictures, monkeypatch):
    shown = torch.randint(256, (5, 3, 32, 32), dtype=torch.uint8)
    expected = pictures.features(shown)
    monkeypatch.setattr(readers, "CHUNK", 2)
    torch.testing.assert_close(pictures.features(list(shown)), expected, rtol=1e-4, atol=1e-4)


def test_words_are_weighted_by_rarity_and_come_back():
    reader = readers.WordReader.of(TEXTS)
    features = reader.features(["warm film", "unheard of"])
    columns = {word: number for number, word in enumerate(reader.vocabulary)}
    assert features.shape == (2, len(columns)) and features[0].multiply(features[0]).sum() == pytest.approx(1)
    assert features[0, columns["warm"]] == features[0, columns["film"]]  # both are in two texts of four
    mixed = reader.features(["warm clumsy"])
    assert mixed[0, columns["clumsy"]] > mixed[0, columns["warm"]] > 0
    card = json.loads(json.dumps(reader.describe()))
    again = readers.open_reader(card, reader.tensors()).features(["warm clumsy"])
    assert (again != mixed).nnz == 0
    with pytest.raises(ValueError, match="The 2 texts hold no word"):
        readers.WordReader.of(["1", "?"])


def test_a_reader_comes_back_as_it_was(texts):
    card = json.loads(json.dumps(texts.describe()))
    assert texts.tensors() == {}
    again = readers.open_reader(card, {})
    assert torch.equal(again.features(TEXTS), texts.features(TEXTS))
    module = backbones.minilm(16, pretrained=False, seed=5).module
    tuned = texts.trained(module)
    again = readers.open_reader(tuned.describe(), tuned.tensors())
    assert again.tuned and again.source == texts.source
    assert torch.equal(again.features(TEXTS), tuned.features(TEXTS))


def test_another_backbone_or_preprocessing_is_refused(texts):
    card = texts.describe()
    with pytest.raises(ValueError, match=r"minilm with the hash 0123456789ab…, and the one here has"):
        readers.open_reader(card | {"fingerprint": "0123456789abcdef"}, {})
    for tuned in (False, True):
        with pytest.raises(ValueError, match="trained with minilm reading other, and here it reads at most"):
            readers.open_reader(card | {"preprocessing": "other", "tuned": tuned}, {})
    with pytest.raises(ValueError, match="There is no backbone 'os'"):
        readers.open_reader(card | {"backbone": "os"}, {})


# --- candidates --------------------------------------------------------------------------------------------


def test_unequal_classes_and_their_weights():
    labels = torch.tensor([0] * 6 + [1] * 3)
    assert candidates.is_unequal(labels) and not candidates.is_unequal(torch.tensor([0, 0, 0, 1, 1]))
    weights = candidates.class_weights(labels, 2)
    torch.testing.assert_close(weights, torch.tensor([0.75, 1.5]))
    assert float(weights[labels].mean()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("available", "planned"),
    [(None, (2, 10)), (200, (2, 10)), (199, (1, 10)), (35, (1, 3)), (20, (1, 2)), (19, (0, 0)), (-5, (0, 0))],
)
def test_the_plan_fits_into_the_time(available, planned):
    assert candidates.plan(available, 10.0, 10, 2) == planned


def candidate(name: str, **scores: float) -> candidates.Candidate:
    return candidates.Candidate(name, None, nn.Linear(1, 2), torch.zeros(1, 2), 1.0, scores, 0.0)


def test_the_choice_is_by_the_measure_and_then_by_likelihood():
    tried = [
        candidate("a", accuracy=0.9, f1=0.5, nll=0.4),
        candidate("b", accuracy=0.9, f1=0.5, nll=0.3),
        candidate("c", accuracy=0.8, f1=0.6, nll=0.9),
    ]
    assert candidates.choose(tried, "accuracy").name == "b"
    assert candidates.choose(tried, "f1").name == "c"


@dataclass(frozen=True)
class Given:
    """A reader of features as they are."""

    kind: str = "pictures"

    def features(self, inputs: torch.Tensor, **_: object) -> torch.Tensor:
        return inputs


def test_heads_are_not_led_by_features_that_few_labels_hardly_show():
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.randn(440, 201, generator=generator), torch.arange(440) % 2
    x[:, 0] += 3 * labels
    x[:40, 1:] *= 1e-3  # asleep in the labelled examples, awake in others
    train, valid = Part(x[:40], labels[:40]), Part(x[40:], labels[40:])
    found = [c.scores["accuracy"] for c in candidates.probes(Given(), train, valid, 2)]
    assert min(found) > 0.85


def unequal_words() -> tuple[readers.WordReader, Part, Part]:
    texts = ["good film"] * 16 + ["bad film"] * 2 + ["film"] * 3
    labels = torch.tensor([0] * 16 + [1] * 2 + [1] * 3)
    part = Part(texts, labels)
    return readers.WordReader.of(texts), part, part


def test_a_rare_class_gets_a_head_with_equal_classes():
    reader, train, valid = unequal_words()
    found = {c.name: c for c in candidates.probes(reader, train, valid, 2)}
    assert len(found) == 6
    plain, fair = found["words, C = 1"], found["words, C = 1, equal classes"]
    shares = torch.tensor([16 / 21, 5 / 21])
    torch.testing.assert_close(fair.valid_logits, plain.valid_logits - shares.log())
    assert fair.scores["f1"] >= plain.scores["f1"] and plain.method == "words"


def test_heads_are_pulled_to_the_source_where_the_target_says_little(texts):
    source = Part(["bad film"] * 5 + ["good film"] * 5, torch.tensor([0] * 5 + [1] * 5))
    train = Part(["bad", "good"], torch.tensor([0, 1]))
    found = {c.name: c for c in candidates.probes(texts, train, source, 2, source=source, cache=False)}
    assert len(found) == 8
    pulled = found["probe, pulled to the source, C = 0.001"]
    assert pulled.scores["accuracy"] == 1.0
    logits = readers.apply_head(pulled.head, texts.features(source.inputs))
    torch.testing.assert_close(logits, pulled.valid_logits)  # the head reads features as they come
    words = readers.WordReader.of([*source.inputs, *train.inputs])
    names = [c.name for c in candidates.probes(words, train, source, 2, source=source)]
    assert names[3:] == [f"words, pulled to the source, C = {C}" for C in ("1", "100", "10000")]


def test_fine_tuning_learns_and_leaves_the_reader_alone(texts):
    train = Part(TEXTS * 3, torch.tensor([1, 0, 1, 0] * 3))
    head = nn.Linear(384, 2)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    before = texts.backbone.fingerprint
    options = {"test_size": 4, "max_epochs": 2, "batch_size": 6, "deadline": None, "progress": False}
    _, found = candidates.fine_tunings(texts, head.requires_grad_(False), train, train, **options)
    assert found.name == "fine-tuned, 2 epochs at 0.0002" and found.reader.tuned
    assert found.scores["accuracy"] == 1.0
    assert texts.backbone.fingerprint == before and not texts.tuned
    assert torch.equal(head.weight, torch.zeros(2, 384))
    logits = readers.apply_head(found.head, found.reader.features(train.inputs))
    torch.testing.assert_close(logits, found.valid_logits, rtol=1e-4, atol=1e-4)


def test_fine_tuning_moves_a_probe_that_reads_features_of_hardly_any_spread(texts):
    train = Part(TEXTS * 3, torch.tensor([1, 0, 1, 0] * 3))
    x = texts.features(train.inputs)
    head = transfer.linear_probe(x, train.labels, C=1e-2)
    before = head.weight.clone()
    assert before.abs().max() > 1e20
    steady = candidates._steady(texts, head, train)
    assert steady.weight.abs().max() < 10 and torch.equal(head.weight, before)
    torch.testing.assert_close(steady(x).mean(dim=0), head(x).mean(dim=0), rtol=1e-3, atol=1e-4)
    options = {"test_size": 4, "max_epochs": 2, "batch_size": 6, "deadline": None, "progress": False}
    for found in candidates.fine_tunings(texts, head, train, train, **options):
        assert (found.valid_logits - head(x)).abs().max() > 0.1


def test_batchnorm_keeps_its_statistics_and_learns(pictures):
    train = Part(torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8), torch.arange(8) % 2)
    head = nn.Linear(1280, 2).requires_grad_(False)
    found = next(candidates.fine_tunings(
        pictures, head, train, train, test_size=0, max_epochs=1, deadline=None, progress=False
    ))  # fmt: skip
    old, new = pictures.backbone.module.state_dict(), found.reader.backbone.module.state_dict()
    for name, tensor in old.items():
        assert torch.equal(new[name], tensor) == ("running" in name or "batches" in name), name


def test_no_fine_tuning_without_time_and_a_short_one_when_time_runs_out(texts, monkeypatch):
    train = Part(TEXTS, torch.tensor([1, 0, 1, 0]))
    head = nn.Linear(384, 2).requires_grad_(False)
    options = {"test_size": 4, "batch_size": 4, "progress": False}
    late = time.perf_counter()
    assert list(candidates.fine_tunings(texts, head, train, train, deadline=late, **options)) == []
    monkeypatch.setattr(candidates, "_step_seconds", lambda *_: 1e-9)  # a wrong guess: all seems to fit
    soon = time.perf_counter() + 0.01
    cut = list(candidates.fine_tunings(texts, head, train, train, deadline=soon, **options))
    assert [c.name.partition(" at")[0] for c in cut] == ["fine-tuned, 1 epoch"] * 2


def test_a_fine_tuning_that_diverges_is_given_up_and_the_next_one_tried(texts, monkeypatch):
    train = Part(TEXTS, torch.tensor([1, 0, 1, 0]))
    head = nn.Linear(384, 2).requires_grad_(False)
    monkeypatch.setitem(candidates.RATES, "texts", (1e30, 1e-5))
    options = {"test_size": 0, "batch_size": 2, "max_epochs": 2, "deadline": None, "progress": False}
    with pytest.warns(UserWarning, match=r"Fine-tuning at 1e\+30 was given up: .*loss became nan"):
        found = list(candidates.fine_tunings(texts, head, train, train, **options))
    assert [c.name for c in found] == ["fine-tuned, 2 epochs at 1e-05"]
    last = {"test_size": 0, "batch_size": 4, "max_epochs": 1, "deadline": None, "progress": False}
    with pytest.warns(UserWarning, match="was given up: the last step left features"):
        found = list(candidates.fine_tunings(texts, head, train, train, **last))
    assert [c.name for c in found] == ["fine-tuned, 1 epoch at 1e-05"]


# --- pairs of few texts ------------------------------------------------------------------------------------

FEW = Part(TEXTS, torch.tensor([1, 0, 1, 0]))
PAIRED = {"most": 64, "test_size": 4, "deadline": None, "progress": False}


def test_pairs_give_heads_on_a_network_of_their_own(texts, monkeypatch):
    monkeypatch.setattr(pairs, "RUNS", ((3, 3e-5), (2, 1e-4)))
    before = texts.backbone.fingerprint
    found = list(pairs.tunings(texts, FEW, FEW, 2, **PAIRED))
    ways = [c.name.partition(", C = ") for c in found]
    assert [way for way, _, _ in ways] == ["pairs, 3 steps at 3e-05"] * 4 + ["pairs, 2 steps at 0.0001"] * 4
    assert [C for _, _, C in ways] == ["0.001", "0.01", "0.1", "1"] * 2
    assert all(c.method == "pairs" and c.reader.tuned and c.reader.source == texts.source for c in found)
    assert texts.backbone.fingerprint == before and not texts.tuned
    assert found[0].reader is not found[4].reader
    logits = readers.apply_head(found[5].head, found[5].reader.features(FEW.inputs))
    torch.testing.assert_close(logits, found[5].valid_logits, rtol=1e-4, atol=1e-4)
    assert found[0].seconds > 10 * found[1].seconds > 0  # the first head of a rate counts its tuning


def test_pairs_are_for_few_texts(texts, monkeypatch):
    monkeypatch.setattr(pairs, "RUNS", ((1, 3e-5), (1, 1e-4)))
    assert list(pairs.tunings(texts, FEW, FEW, 2, **PAIRED | {"most": 1})) == []
    assert len(list(pairs.tunings(texts, FEW, FEW, 2, **PAIRED | {"most": 2}))) == 8
    assert list(pairs.tunings(texts, FEW, FEW, 2, **PAIRED | {"most": 0})) == []


def test_pairs_keep_to_the_time(texts, monkeypatch):
    late = {"deadline": time.perf_counter()}
    assert list(pairs.tunings(texts, FEW, FEW, 2, **PAIRED | late)) == []
    soon = {"deadline": time.perf_counter() + 0.05}
    assert list(pairs.tunings(texts, FEW, FEW, 2, **PAIRED | soon)) == []  # not worth to begin
    monkeypatch.setattr(pairs, "_steps", lambda *_: 800)  # a wrong guess: all seems to fit
    monkeypatch.setattr(pairs, "RUNS", ((400, 3e-5), (400, 1e-4)))
    soon = {"deadline": time.perf_counter() + 0.1}
    cut = list(pairs.tunings(texts, FEW, FEW, 2, **PAIRED | soon))
    assert len(cut) == 8 and {int(c.name.split()[1]) for c in cut} < set(range(1, 100))
    assert cut[4].name.startswith("pairs, 1 step at")


def test_the_steps_by_pairs_fit_into_the_time(texts, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(pairs.time, "perf_counter", lambda: clock[0])

    def tune(*_: object, steps: int, **__: object) -> tuple[None, int]:
        clock[0] += 2.0 * steps
        return None, steps

    monkeypatch.setattr(pairs.contrastive, "tune", tune)
    # Three steps take 6 s, scoring (200 + 2 (92 + 4)) texts at 2 / 4 / 3 s each takes 65 1/3 s.
    scoring = 392 * 2 / 4 / 3
    planned = [pairs._steps(texts, FEW, 92, 200, 6 + scoring + left + clock[0]) for left in (-3, 1, 41, 999)]
    assert planned == [-2, 0, 20, 499]


@pytest.mark.parametrize(
    ("left", "planned"),
    [(-1, []), (4, []), (5, [5]), (20, [20]), (34, [20]), (35, [20, 15]), (79, [20, 59]), (999, [20, 60])],
)
def test_the_last_run_by_pairs_is_shortened_first(texts, monkeypatch, left, planned):
    monkeypatch.setattr(pairs, "_steps", lambda *_: left)
    found = []
    monkeypatch.setattr(pairs, "_run", lambda steps, *_: found.append(steps) or [])
    assert list(pairs.tunings(texts, FEW, FEW, 2, **PAIRED | {"deadline": math.inf})) == []
    assert found == planned


def test_texts_without_pairs_and_a_tuning_that_diverges_are_said(texts, monkeypatch):
    alone = FEW.select([0, 1])
    with pytest.warns(UserWarning, match="Tuning by pairs was left out: No class has two different texts"):
        assert list(pairs.tunings(texts, alone, FEW, 2, **PAIRED)) == []
    monkeypatch.setattr(pairs, "RUNS", ((3, 1e38), (3, 1e-5)))
    with pytest.warns(UserWarning, match=r"Tuning by pairs at 1e\+38 was given up: "):
        found = list(pairs.tunings(texts, FEW, FEW, 2, **PAIRED))
    assert {c.name.partition(", C")[0] for c in found} == {"pairs, 3 steps at 1e-05"}
