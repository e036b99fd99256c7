"""Files that are never half-written, and what a full, a closed or a rotten disk is called."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from transferbook.data import files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_at_the_end_and_whole_until_then(tmp_path):
    file = tmp_path / "deep" / "x.bin"
    for content in (b"old", b"new"):
        with files.replacing(file) as out:
            out.write(content)
            if content == b"new":
                assert file.read_bytes() == b"old"
    assert file.read_bytes() == b"new" and names(file.parent) == ["x.bin"]


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, ValueError, OSError])
def test_what_goes_wrong_leaves_the_old_file_and_nothing_else(tmp_path, trouble):
    file = tmp_path / "x.bin"
    file.write_bytes(b"old")
    with pytest.raises(trouble), files.replacing(file) as out:
        out.write(b"half")
        raise trouble
    assert file.read_bytes() == b"old" and names(tmp_path) == ["x.bin"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import torch
from transferbook.data import files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
tensor = torch.ones(1_000_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with files.replacing(Path(sys.argv[1])) as out:
        torch.save(tensor, out)
except OSError as error:
    print(error.errno, files.reason(error))
"""


def test_a_disk_that_runs_full_is_said_to_be_full_although_torch_forgets_it(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path / "x.pt")], capture_output=True)
    assert done.stdout.decode() == f"{errno.EFBIG} no space is left\n", done.stderr
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    stale = tmp_path / f"x.pt.{platform.node()}-{gone.pid}.partial"
    kept = [f"x.pt.{platform.node()}-{os.getppid()}.partial", "x.pt.elsewhere-1.partial", "y.pt.partial"]
    for name in [stale.name, *kept]:
        (tmp_path / name).write_bytes(b"half")
    with files.replacing(tmp_path / "x.pt") as out:
        out.write(b"all")
    assert names(tmp_path) == sorted(["x.pt", *kept])


def test_the_folder_is_made_and_tried_without_a_trace(tmp_path):
    files.require_writable(tmp_path / "a" / "b" / "x.pt")
    assert names(tmp_path / "a" / "b") == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError):
        files.require_writable(tmp_path / "file" / "x.pt")


def damaged(content: bytes) -> dict[str, bytes]:
    middle = len(content) // 2
    return {
        "empty": b"",
        "cut": content[:middle],
        "short of a byte": content[:-1],
        "one bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "text": b"not a file of torch\n",
    }


@pytest.mark.parametrize("kind", damaged(bytes(8)))
def test_damaged_tensors_are_not_loaded(tmp_path, kind):
    file = tmp_path / "x.pt"
    torch.save({"a": torch.arange(5_000.0)}, file)
    assert torch.equal(files.load_tensors(file)["a"], torch.arange(5_000.0))
    file.write_bytes(damaged(file.read_bytes())[kind])
    with pytest.raises(files.DamagedError, match=r"x\.pt is damaged \(.+\)$") as caught:
        files.load_tensors(file)
    assert "\n" not in str(caught.value)


def test_the_disk_is_quoted_in_words():
    assert files.reason(OSError(errno.ENOSPC, "No space left on device")) == "no space is left"
    assert files.reason(OSError(errno.EROFS, "Read-only file system")) == "Read-only file system"
    assert "another disk" in files.remedy(OSError(errno.EDQUOT, ""))
    assert "you can write to" in files.remedy(OSError(errno.EROFS, ""))


def test_a_relative_folder_is_the_same_from_everywhere(tmp_path, monkeypatch):
    root = Path(files.__file__).parents[2]
    for place in (tmp_path, root):
        monkeypatch.chdir(place)
        monkeypatch.setenv("SOME_FOLDER", ".cache/x")
        assert files.folder_of("SOME_FOLDER") == root / ".cache" / "x"
        monkeypatch.setenv("SOME_FOLDER", str(tmp_path / "y"))
        assert files.folder_of("SOME_FOLDER") == tmp_path / "y"
        monkeypatch.setenv("SOME_FOLDER", "~/z")
        assert files.folder_of("SOME_FOLDER") == Path.home().resolve() / "z"
    monkeypatch.setenv("SOME_FOLDER", "")
    assert files.folder_of("SOME_FOLDER") is None


def test_a_folder_that_is_nowhere_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "ROOT", tmp_path)  # the package alone, without the book
    monkeypatch.setenv("SOME_FOLDER", "mine")
    with pytest.raises(ValueError, match=r"^SOME_FOLDER is mine, .* give the whole path\.$"):
        files.folder_of("SOME_FOLDER")
    monkeypatch.setenv("SOME_FOLDER", "~nobody-of-this-name/x")
    with pytest.raises(ValueError, match=r"^SOME_FOLDER is ~nobody"):
        files.folder_of("SOME_FOLDER")
