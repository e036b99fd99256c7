"""The command line, called in this process as `main([...])`, and the page of data and models."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from importlib import import_module, util
from pathlib import Path
from types import SimpleNamespace

import pytest

import transferbook
from transferbook import __main__ as command
from transferbook.data import assets
from transferbook.evidence import studies

CALL = r"`(\w+\.\w+)\(…\)`"

STUDY = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    width: int

def grid():
    return [(Config(width), seed) for width in (1, 2) for seed in (0, 1)]

def smallest():
    return grid()[:1]

def run(config, seed):
    return {"score": 1.0 / (config.width - BROKEN)}
"""


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRANSFERBOOK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def toy_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "studies").mkdir()
    monkeypatch.setenv("TRANSFERBOOK_STUDIES", str(tmp_path / "studies"))
    path = tmp_path / "studies" / "toy.py"
    path.write_text(STUDY.replace("BROKEN", "0"))
    return path


def test_list(capsys: pytest.CaptureFixture, empty_cache: Path) -> None:
    assert command.main(["assets", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(assets.catalogue())
    states = {line.split()[0]: re.search(r" \d+ [kM]B  (to fetch|optional) ", line)[1] for line in lines}
    assert [name for name, state in states.items() if state == "to fetch"] == assets.required()
    assert not empty_cache.exists()  # looking writes nothing


def test_list_one(capsys: pytest.CaptureFixture) -> None:
    assets.wheel("openmoji")
    assert command.main(["assets", "list", "openmoji"]) == 0
    first, *members = capsys.readouterr().out.splitlines()
    assert "31 MB  ready" in first and [member.strip() for member in members] == ["svg/*.svg"]


def test_fetching_is_the_default(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(assets, "fetch", lambda names: asked.append(names) or [])
    assert command.main(["assets"]) == 0 and asked == [assets.required()]
    assert "solar_cells" in assets.catalogue() and "solar_cells" not in assets.required()


def test_fetch_verify_and_path(capsys: pytest.CaptureFixture) -> None:
    assert command.main(["assets", "fetch", "newsgroups", "reuters_r8"]) == 0
    assert "newsgroups, reuters_r8: ready in" in (out := capsys.readouterr().out) and "(38 MB)." in out
    assert command.main(["assets", "verify", "mnist_5k"]) == 0
    assert capsys.readouterr().out == "mnist_5k: whole.\n"
    assert command.main(["assets", "path", "mnist_5k"]) == 0
    assert capsys.readouterr().out.strip() == str(assets.wheel("mnist_5k"))


def test_verify_what_is_missing(capsys: pytest.CaptureFixture, empty_cache: Path) -> None:
    assert command.main(["assets", "verify", "minilm", "openmoji"]) == 1
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 2
    assert "run `python -m transferbook assets fetch minilm`." in said.err


def test_what_cannot_be_fetched(
    capsys: pytest.CaptureFixture, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFERBOOK_WHEELHOUSE", "/no/such/folder")
    assert command.main(["assets", "fetch", "mnist_5k"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("TRANSFERBOOK_WHEELHOUSE names /no/such/folder")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("asset", "invalid choice: 'asset'"),
        ("assets download", "There is no action 'download'; the actions are list, fetch, verify, path."),
        ("assets fetch minilm mini", "There is no asset 'mini'; the assets are efficientnet_lite0, minilm,"),
        ("assets path", "`path` takes one asset; the assets are"),
        ("assets path minilm openmoji", "`path` takes one asset; the assets are"),
        ("study nope", "There is no study 'nope'; the studies are toy."),
        ("study toy --jobs 0", "--jobs is 0; it must be at least 1."),
        ("study toy --jobs two", "invalid int value: 'two'"),
        ("study", "the following arguments are required: NAME"),
    ],
)
def test_bad_names(arguments: str, message: str, capsys: pytest.CaptureFixture, toy_study: Path) -> None:
    assert command.main(arguments.split()) == 2
    said = capsys.readouterr()
    assert message in said.err and said.out == ""
    assert len(said.err.splitlines()) == 1 and said.err.endswith(".\n")


def test_interrupted(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def control_c(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(assets, "fetch", control_c)
    assert command.main(["assets"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_study(capsys: pytest.CaptureFixture, toy_study: Path) -> None:
    assert command.main(["study", "check"]) == 1
    assert capsys.readouterr().out == "toy: 4 of the 4 rows of study toy are missing.\n"
    assert command.main(["study", "list"]) == 0
    capsys.readouterr()
    assert command.main(["study", "toy", "--jobs", "1"]) == 0
    assert capsys.readouterr().out == "toy: complete; rows computed now: 4.\n"
    assert command.main(["study", "toy", "--jobs", "1"]) == 0
    assert capsys.readouterr().out == "toy: complete; rows computed now: 0.\n"
    assert command.main(["study", "check"]) == 0
    assert capsys.readouterr().out == "toy: complete and fresh.\n"


def test_study_that_fails(capsys: pytest.CaptureFixture, toy_study: Path) -> None:
    toy_study.write_text(STUDY.replace("BROKEN", "1"))  # width 1 divides by zero
    assert command.main(["study", "toy", "--jobs", "1"]) == 1
    assert "2 of the 4 rows to compute failed" in capsys.readouterr().err
    toy_study.write_text("Config = None")
    (toy_study.parent / "whole.py").write_text(STUDY.replace("BROKEN", "0"))
    assert command.main(["study", "check"]) == 1  # a broken file does not hide the other studies
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["toy", "whole"] == studies.names()


def test_doctor(capsys: pytest.CaptureFixture) -> None:
    for name in assets.required():
        assets.wheel(name)
    assert command.main(["doctor"]) == 0
    facts, _, advice = capsys.readouterr().out.partition("\n\nWhat next:\n")
    labels = [line.split()[0] for line in facts.splitlines()]
    assert labels == ["book", "Python", "torch", "device", "memory", "scale", "assets", "disk"]
    every = len(assets.required())
    assert re.search(rf"^assets +{every} of {every} ready in ", facts, re.M)
    assert re.search(r"^disk +[\d.]+ GB free", facts, re.M)
    assert "make book" in advice and "Fetch" not in advice


def test_doctor_on_a_bare_machine(
    capsys: pytest.CaptureFixture, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transferbook.runtime", None)
    monkeypatch.delattr(transferbook, "runtime", raising=False)
    monkeypatch.setattr(command.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e9))
    assert command.main(["doctor"]) == 0
    facts, _, advice = capsys.readouterr().out.partition("\n\nWhat next:\n")
    assert "torch    cannot be imported" in facts
    assert f"assets   0 of {len(assets.required())} ready" in facts
    install, fetch, disk, _ = advice.splitlines()
    assert "`make setup`" in install
    assert "Fetch efficientnet_lite0, " in fetch and fetch.endswith("`python -m transferbook assets`.")
    assert "The disk is nearly full" in disk
    assert not empty_cache.exists()


def test_doctor_with_a_wrong_scale(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFERBOOK_SCALE", "huge")
    assert command.main(["doctor"]) == 2
    assert 'TRANSFERBOOK_SCALE is "huge"' in capsys.readouterr().err


# The page of data and models


def also() -> dict[str, dict]:
    return tomllib.loads(Path(assets.__file__).with_name("assets.toml").read_text(encoding="utf-8"))["also"]


def test_page_is_in_step() -> None:
    written = command.PAGE.read_text(encoding="utf-8")
    assert written == command.data_page(), "run `python -m transferbook catalogue`"


def test_page_tells_all(monkeypatch: pytest.MonkeyPatch) -> None:
    page = command.data_page()
    for asset in assets.catalogue().values():
        entry = page.partition(f"\n### {asset.title}\n")[2].partition("\n### ")[0]
        calls = asset.calls or (f"{command.LOADERS[asset.kind]}.{asset.name}",)
        kilobytes = {"penguins": "19 kB", "solubility": "498 kB"}
        size = kilobytes.get(asset.name, f"{asset.size / 1e6:.0f} MB")
        at = "@" if asset.registry == "npm" else "=="
        for part in (asset.note.strip(), f"`{calls[-1]}(…)`", f"`{asset.package}{at}{asset.version}`",
                     size, f"Licence: {asset.licence}", f"<{asset.source}>",
                     f"{{cite}}`{asset.citation}`"):  # fmt: skip
            assert part in entry, (asset.name, part)
    for other in also().values():
        assert f"\n### {other['title']}\n" in page and other["origin"] in page
    assert page.index("## Data sets") < page.index("### optdigits") < page.index("## Pretrained models")
    sizes = {assets.lookup(name).sha256: assets.lookup(name).size for name in assets.required()}
    assert len(sizes) < len(assets.required())  # the wheel that two data sets share counts once
    assert f"{len(sizes)} wheels, {sum(sizes.values()) / 1e6:.0f} MB" in page


def test_page_cites_what_the_bibliography_has() -> None:
    bibliography = (command.ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    cited = set(re.findall(r"\{cite\}`(\w+)`", command.data_page()))
    assert cited and not [key for key in cited if f"{{{key}," not in bibliography]


def test_calls_on_the_page_exist() -> None:
    for call in set(re.findall(CALL, command.data_page())):
        module, name = call.split(".")
        found = [util.find_spec(f"transferbook.{room}.{module}") for room in ("data", "models")]
        (home,) = [spec.name for spec in found if spec]
        assert callable(getattr(import_module(home), name, None)), call


def test_page_keeps_its_introduction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    monkeypatch.setattr(command, "PAGE", page)
    page.write_text(f"# Mine\n\n{command.MARK}old\n")
    assert command.main(["catalogue"]) == 0
    written = page.read_text()
    assert written.startswith(f"# Mine\n\n{command.MARK}\nThe default run") and "old\n" not in written
    page.write_text("# Mine\n")
    assert command.main(["catalogue"]) == 2 and page.read_text() == "# Mine\n"


def test_chapters_using(tmp_path: Path) -> None:
    def notebook(path: str, *cells: tuple[str, str]) -> None:
        file = tmp_path / "notebooks" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        content = [{"cell_type": kind, "source": source.splitlines(keepends=True)} for kind, source in cells]
        file.write_text(json.dumps({"cells": content}))

    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "labels.py").write_text("def run(c, s):\n    return backbones.minilm(64)\n")
    (tmp_path / "studies" / "other.py").write_text("datasets.mnist_5k()\n")
    prose = "`datasets.optdigits()` would do as well."
    notebook("p/01_a.ipynb", ("code", "x = datasets.openmoji(\n    size=32)"), ("markdown", prose))
    notebook("p/02_b.ipynb", ("code", "rows = studies.load('labels')\ny = datasets.openmoji()"))
    notebook("p/04_d.ipynb", ("code", "table = frames.penguins()"))
    notebook("p/05_e.ipynb", ("code", "plays = corpora.shakespeare().train"))
    notebook("p/06_f.ipynb", ("code", "cohort = rtables.table('survival/gbsg')"))
    notebook("p/03_c.ipynb", ("code", "digits.align(x, 8)"), ("code", "d = digits.domains(8, aligned=True)"))
    notebook("p/.ipynb_checkpoints/02_b.ipynb", ("code", "datasets.openmoji()"))
    assert command.chapters_using(tmp_path) == {
        "datasets.openmoji": ["notebooks/p/01_a.ipynb", "notebooks/p/02_b.ipynb"],
        "backbones.minilm": ["notebooks/p/02_b.ipynb"],
        "datasets.rendered_digits": ["notebooks/p/03_c.ipynb"],
        "datasets.optdigits": ["notebooks/p/03_c.ipynb"],
        "datasets.mnist_5k": ["notebooks/p/03_c.ipynb"],
        "frames.penguins": ["notebooks/p/04_d.ipynb"],
        "corpora.shakespeare": ["notebooks/p/05_e.ipynb"],
        "rtables.table": ["notebooks/p/06_f.ipynb"],
    }
