"""A chain of files: whole it is read back, and no file or record can be changed, removed or exchanged."""

from __future__ import annotations

import hashlib
import json

import pytest

from transferbook.program import chain

NAMES = ("first", "second", "third")


def build(folder, names=NAMES, start="about"):
    folder.mkdir(exist_ok=True)
    links = []
    for name in names:
        write = lambda path, name=name: path.write_text(f"model {name}")  # noqa: E731
        known = lambda path: {"said": len(path.read_text()), "é": 1}  # noqa: E731
        links.append(chain.add(folder, links[-1] if links else None, name, ".bin", write, known, start))
    return links


def test_a_chain_is_read_back_as_it_was_written(tmp_path):
    links = build(tmp_path)
    assert chain.read(tmp_path, NAMES, "about") == links
    assert [link.file.name for link in links] == ["1_first.bin", "2_second.bin", "3_third.bin"]
    assert links[1].record["sha256"] == hashlib.sha256(b"model second").hexdigest()
    assert links[1].record["bytes"] == 12 and links[1].record["said"] == 12
    stored = (tmp_path / "1_first.json").read_bytes()
    assert links[0].record["before"] == "about"
    assert links[1].record["before"] == links[0].digest == hashlib.sha256(stored).hexdigest()


def test_what_is_there_is_the_beginning(tmp_path):
    assert chain.read(tmp_path / "none", NAMES) == []
    links = build(tmp_path, NAMES[:2])
    assert chain.read(tmp_path, NAMES, "about") == links
    (tmp_path / "3_third.bin").write_text("a model whose record was not written")
    assert chain.read(tmp_path, NAMES, "about") == links


@pytest.mark.parametrize("file", ["1_first.bin", "2_second.bin", "3_third.bin"])
def test_a_changed_file_breaks_the_chain(tmp_path, file):
    build(tmp_path)
    content = bytearray((tmp_path / file).read_bytes())
    content[-1] ^= 1
    (tmp_path / file).write_bytes(content)
    said = rf"{file} is not the file that \d_\w+\.json tells of; remove both\.$"
    with pytest.raises(chain.ChainError, match=said):
        chain.read(tmp_path, NAMES, "about")
    (tmp_path / file).unlink()
    with pytest.raises(chain.ChainError, match=said):
        chain.read(tmp_path, NAMES, "about")


def test_a_changed_score_breaks_the_chain_behind_it(tmp_path):
    build(tmp_path)
    record = json.loads((tmp_path / "1_first.json").read_text())
    (tmp_path / "1_first.json").write_text(json.dumps(record | {"said": 99}))
    with pytest.raises(chain.ChainError, match=r"2_second\.json does not .*, for first has changed since"):
        chain.read(tmp_path, NAMES, "about")


def test_a_model_that_was_exchanged_with_its_record_breaks_the_chain(tmp_path):
    build(tmp_path)
    build(tmp_path / "other", start="else")
    for ending in ("bin", "json"):
        (tmp_path / "other" / f"2_second.{ending}").replace(tmp_path / f"2_second.{ending}")
    with pytest.raises(chain.ChainError, match=r"2_second\.json does not follow"):
        chain.read(tmp_path, NAMES, "about")


def test_another_beginning_or_a_gap_is_said(tmp_path):
    build(tmp_path)
    with pytest.raises(chain.ChainError, match=r"1_first\.json does not follow .* with other settings"):
        chain.read(tmp_path, NAMES, "something else")
    (tmp_path / "2_second.json").unlink()
    with pytest.raises(chain.ChainError, match=r"2_second\.json is missing, and 3_third\.json builds on it"):
        chain.read(tmp_path, NAMES, "about")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"file": 3}', '"text"'])
def test_a_damaged_record_gets_one_sentence(tmp_path, content):
    build(tmp_path)
    (tmp_path / "1_first.json").write_text(content)
    with pytest.raises(chain.ChainError, match=r"1_first\.json is damaged; remove it and all"):
        chain.read(tmp_path, NAMES, "about")
