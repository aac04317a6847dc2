"""Finding a data set: the order of the sources, what is passed over, and the error that lists them all."""

import gzip
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fastnn.data import fetch
from fastnn.data.fetch import cache_folder, find
from fastnn.data.idx import write_idx
from fastnn.data.published import Published

NAMES = ("images-idx2-ubyte", "labels-idx1-ubyte")
ARRAYS = (np.arange(12, dtype=np.uint8).reshape(3, 4), np.array([1, 0, 2], np.uint8))


def put(folder: Path, zipped: bool = False) -> Path:
    """The files of the data set in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(NAMES, ARRAYS, strict=True):
        write_idx(folder / name, array)
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
            (folder / name).unlink()
    return folder


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """A tiny data set that is nowhere yet; the network is a matter of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    monkeypatch.delenv("FASTNN_OFFLINE", raising=False)
    forbid(monkeypatch, "_from_mirror", "_from_debian")
    files = put(tmp_path / "files")
    hashes = {name: hashlib.sha256((files / name).read_bytes()).hexdigest() for name in NAMES}
    shutil.rmtree(files)
    return Published(
        name="tiny",
        files=hashes,
        mirrors=("https://first.example", "https://second.example"),
        debian_package="dataset-tiny",
        debian_folder=str(tmp_path / "debian"),
        layouts=("tiny",),
    )


def forbid(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setattr(fetch, name, lambda *_, name=name: pytest.fail(f"{name} was called"))


def serve(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Callable[[Path], object]]) -> list[str]:
    """Mirrors, and "debian", that fill a folder or raise; the list of those that were asked."""
    asked: list[str] = []

    def answer(source: str, folder: Path) -> None:
        asked.append(source)
        answers[source](folder)

    monkeypatch.setattr(fetch, "_from_mirror", lambda _, mirror, folder: answer(mirror, folder))
    monkeypatch.setattr(fetch, "_from_debian", lambda _, folder: answer("debian", folder))
    return asked


def fail(_: Path) -> None:
    raise OSError("no route to host")


def check(found: fetch.Found, source: str) -> None:
    assert found.source.startswith(source)
    for name, array in zip(NAMES, ARRAYS, strict=True):
        np.testing.assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize("zipped", [False, True])
def test_folders_are_tried_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: Published, zipped: bool
) -> None:
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path / "environment"))
    put(tmp_path / "debian", zipped)
    check(find(published, tmp_path / "root"), "the Debian package dataset-tiny")
    put(cache_folder() / "tiny", zipped)
    check(find(published, tmp_path / "root"), "the cache")
    put(tmp_path / "environment", zipped)
    check(find(published, tmp_path / "root"), "$FASTNN_DATA")
    put(tmp_path / "root" / "tiny", zipped)
    check(find(published, tmp_path / "root"), f"root, {tmp_path / 'root' / 'tiny'}")
    put(tmp_path / "root", zipped)
    check(find(published, tmp_path / "root"), f"root, {tmp_path / 'root'}")


def test_damaged_file_is_named_and_passed_over(
    tmp_path: Path, published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = put(tmp_path / "root") / NAMES[1]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\7")
    put(tmp_path / "debian")
    check(find(published, tmp_path / "root"), "the Debian package")
    assert f"passed over: [read_idx] {damaged}: SHA-256 is" in capsys.readouterr().err


def test_fetched_files_are_kept_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = serve(monkeypatch, {"https://first.example": fail, "https://second.example": lambda to: put(to, True)})
    check(first := find(published), "https://second.example")
    assert asked == ["https://first.example", "https://second.example"]
    said = capsys.readouterr().err
    assert "fetching from https://first.example" in said
    assert "failed: no route to host" in said
    assert f"kept in {cache_folder() / 'tiny'}" in said
    check(again := find(published), "the cache")
    assert again.folder == first.folder == cache_folder() / "tiny"
    assert asked == ["https://first.example", "https://second.example"]
    assert sorted(path.name for path in (cache_folder() / "tiny").iterdir()) == sorted(NAMES)


def test_wrong_file_of_a_mirror_never_reaches_the_cache(monkeypatch: pytest.MonkeyPatch, published: Published) -> None:
    def swapped(folder: Path) -> None:
        put(folder)
        (folder / NAMES[0]).replace(folder / NAMES[1])

    def page(folder: Path) -> None:
        for name in NAMES:
            (folder / f"{name}.gz").write_bytes(b"<html>please log in</html>")

    serve(monkeypatch, {"https://first.example": swapped, "https://second.example": page, "debian": put})
    check(find(published), "the Debian package dataset-tiny (apt-get download")


def test_unwritable_cache_does_not_stop(
    monkeypatch: pytest.MonkeyPatch, published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    cache_folder().parent.mkdir()
    cache_folder().write_text("a file where the folder should be")
    serve(monkeypatch, {"https://first.example": put})
    check(found := find(published), "https://first.example")
    assert found.folder is None
    assert "could not be kept in" in capsys.readouterr().err


def test_error_lists_everything_that_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: Published
) -> None:
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path / "environment"))
    serve(monkeypatch, dict.fromkeys(("https://first.example", "https://second.example", "debian"), fail))
    (put(tmp_path / "root") / NAMES[0]).write_bytes(b"")
    with pytest.raises(FileNotFoundError) as caught:
        find(published, tmp_path / "root")
    *lines, remedy = str(caught.value).splitlines()
    assert lines[0] == "[tiny] not found. Tried:"
    expected = [
        "root: [read_idx]",
        f"$FASTNN_DATA: {tmp_path / 'environment'} has no",
        "the cache:",
        "the Debian package dataset-tiny:",
        "https://first.example: no route",
        "https://second.example: no route",
        "the Debian package dataset-tiny (apt-get download, nothing is installed): no route",
    ]
    assert len(lines) == 1 + len(expected)
    for line, start in zip(lines[1:], expected, strict=True):
        assert line.startswith(f"  - {start}")
    assert all(name in remedy for name in (*NAMES, "$FASTNN_DATA", "fastnn data fetch tiny"))


@pytest.mark.parametrize("download", [False, True])
def test_offline_asks_no_network(monkeypatch: pytest.MonkeyPatch, published: Published, download: bool) -> None:
    if download:
        monkeypatch.setenv("FASTNN_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match="FASTNN_OFFLINE is set" if download else "not asked for"):
        find(published, download=download)


def test_offline_zero_means_online(monkeypatch: pytest.MonkeyPatch, published: Published) -> None:
    monkeypatch.setenv("FASTNN_OFFLINE", "0")
    asked = serve(monkeypatch, {"https://first.example": put})
    find(published)
    assert asked == ["https://first.example"]


def test_debian_route_needs_its_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(FileNotFoundError, match="apt-get is not on this machine"):
        fetch._from_debian(Published("tiny", {}, (), "dataset-tiny", "/usr/share/tiny"), tmp_path)


def test_debian_route_uses_only_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With programs that write down how they are called, and a package that is a folder."""
    programs, work = tmp_path / "programs", tmp_path / "work"
    programs.mkdir()
    work.mkdir()
    put(tmp_path / "package", zipped=True)
    script = f"""#!/bin/sh
echo "$(basename "$0") $*" >> {tmp_path}/calls
case "$*" in
*download*) touch dataset-tiny_1_all.deb ;;
*--extract*) mkdir -p unpacked/usr/share/datasets && cp -r {tmp_path}/package unpacked/usr/share/datasets/tiny ;;
esac
"""
    for name in ("apt-get", "dpkg-deb"):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    fetch._from_debian(Published("tiny", {}, (), "dataset-tiny", "/usr/share/datasets/tiny"), work)
    assert sorted(path.name for path in work.glob("*.gz")) == sorted(f"{name}.gz" for name in NAMES)
    update, download, extract = (tmp_path / "calls").read_text().splitlines()
    for call in (update, download):
        assert f"-oDir::State::Lists={work}/lists" in call
        assert f"-oDir::Cache={work}/cache" in call
    assert update.endswith(" update")
    assert download.endswith(" download dataset-tiny")
    assert extract == f"dpkg-deb --extract {work}/dataset-tiny_1_all.deb {work}/unpacked"


def test_failing_program_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="sh failed: E: unable to locate"):
        fetch._run(tmp_path, "sh", "-c", "echo noise >&2; echo 'E: unable to locate' >&2; exit 100")
    with pytest.raises(OSError, match="sh failed: exit status 3"):
        fetch._run(tmp_path, "sh", "-c", "exit 3")
