"""Tarballs are read like wheels, and damage has one name."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from transferbook.data.tarballs import BadTarball, Tarball

FILES = {"package/a.txt": b"a" * 5_000, "package/sub/b.bin": bytes(range(256)) * 40, "package/empty": b""}


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    """The same files as a tarball, with a folder of its own entry, and as a wheel."""
    tarball, wheel = tmp_path / "some.tgz", tmp_path / "some.whl"
    with tarfile.open(tarball, "w:gz") as archive, zipfile.ZipFile(wheel, "w") as zipped:
        folder = tarfile.TarInfo("package")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in FILES.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
            zipped.writestr(name, content)
    return tarball, wheel


def test_a_tarball_reads_like_a_wheel(both: tuple[Path, Path]) -> None:
    with Tarball(both[0]) as archive, zipfile.ZipFile(both[1]) as wheel:
        assert archive.namelist() == wheel.namelist() == list(FILES)
        for name, content in FILES.items():
            assert archive.read(name) == wheel.read(name) == archive.open(name).read() == content
            assert archive.getinfo(name).file_size == wheel.getinfo(name).file_size == len(content)
        with pytest.raises(KeyError):
            archive.read("package")
        with pytest.raises(KeyError):
            archive.getinfo("nothing")


@pytest.mark.parametrize("change", ["no tarball", "cut", "rotten"])
def test_damage_has_one_name(both: tuple[Path, Path], change: str) -> None:
    content = bytearray(both[0].read_bytes())
    if change == "cut":
        del content[-40:]
    elif change == "rotten":
        for place in range(60, 120):
            content[place] ^= 255
    both[0].write_bytes(b"no tarball" if change == "no tarball" else content)
    with pytest.raises(BadTarball), Tarball(both[0]) as archive:
        for name in archive.namelist():
            archive.read(name)


def test_an_archive_that_cannot_be_listed_is_closed(both: tuple[Path, Path], monkeypatch) -> None:
    opened = []
    open_tar = tarfile.open

    def watched(*arguments: object) -> tarfile.TarFile:
        opened.append(open_tar(*arguments))
        return opened[-1]

    monkeypatch.setattr(tarfile, "open", watched)
    with Tarball(both[0]) as archive:
        assert not opened[0].closed and archive.namelist()
    assert opened[0].closed
    both[0].write_bytes(both[0].read_bytes()[:-40])
    with pytest.raises(BadTarball):
        Tarball(both[0])
    assert len(opened) == 2 and opened[1].closed


def test_a_file_that_is_missing_stays_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Tarball(tmp_path / "nothing.tgz")
