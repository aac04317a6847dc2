"""Finding a published data set: on this machine first, then from where it is published; always checked by SHA-256."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fastnn.dispatch import Array

from .idx import read_idx, write_idx
from .published import Published

_TIMEOUT = (5, 30)  # seconds to connect, and between two pieces of an answer
_APT_TIMEOUT = 300  # seconds for one call of apt-get


class Found(NamedTuple):
    """Arrays by file name, the source that served them in words, and the folder where they lie now (None: nowhere)."""

    arrays: dict[str, Array]
    source: str
    folder: Path | None


def cache_folder() -> Path:
    """The folder where fastnn keeps downloaded data: `fastnn` in the user's cache, by the custom of the system."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")).expanduser() / "fastnn" / "Cache"
    default = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or default).expanduser() / "fastnn"


def offline() -> bool:
    """Whether FASTNN_OFFLINE forbids the network."""
    return os.environ.get("FASTNN_OFFLINE", "0") not in ("", "0")


def find(published: Published, root: str | os.PathLike[str] | None = None, *, download: bool = True) -> Found:
    """The arrays of a published data set, from the first source whose files all have the right SHA-256.

    In turn: `root`, ``$FASTNN_DATA``, the user's cache, the folder of the Debian package; then, with `download` and
    without ``FASTNN_OFFLINE=1``, the mirrors, and last the Debian package fetched with apt-get as an ordinary user,
    without installing anything. What is fetched is kept in the cache. A damaged file is named on stderr and passed
    over. FileNotFoundError lists every source that was tried and why it failed.
    """
    failures = []
    for label, folder in _folders(published, root):
        try:
            return Found(_load(published, folder), f"{label}, {folder}", folder)
        except FileNotFoundError as error:
            failures.append(f"{label}: {error}")
        except (OSError, ValueError) as error:
            failures.append(f"{label}: {error}")
            tell(published, f"passed over: {error}")

    if not download or offline():
        failures.append("the network: FASTNN_OFFLINE is set" if offline() else "the network: not asked for")
    else:
        for label, fetch in _routes(published):
            tell(published, f"fetching from {label} ...")
            with tempfile.TemporaryDirectory(prefix="fastnn-") as temporary:
                try:
                    fetch(Path(temporary))
                    arrays = _load(published, Path(temporary))
                except (OSError, ValueError, ImportError, subprocess.SubprocessError) as error:
                    failures.append(f"{label}: {error}")
                    tell(published, f"failed: {error}")
                    continue
            return Found(arrays, label, _keep(published, arrays))

    raise FileNotFoundError(
        f"[{published.name}] not found. Tried:\n"
        + "".join(f"  - {failure}\n" for failure in failures)
        + f"What to do: put the files {', '.join(published.files)} (or the same with .gz) into a folder and name it "
        f"as root or $FASTNN_DATA, or install the Debian package {published.debian_package}, or run "
        f"`fastnn data fetch {published.name}` where there is a network."
    )


def tell(published: Published, message: str) -> None:
    """A line on stderr about a data set."""
    print(f"[{published.name}] {message}", file=sys.stderr, flush=True)


def _folders(published: Published, root: str | os.PathLike[str] | None) -> Iterator[tuple[str, Path]]:
    for label, folder in (("root", root), ("$FASTNN_DATA", os.environ.get("FASTNN_DATA"))):
        if folder:
            yield label, Path(folder)
            for layout in published.layouts:
                if (Path(folder) / layout).is_dir():
                    yield label, Path(folder) / layout
    yield "the cache", cache_folder() / published.name
    yield f"the Debian package {published.debian_package}", Path(published.debian_folder)


def _load(published: Published, folder: Path) -> dict[str, Array]:
    """All arrays from one folder, each file plain or gzipped."""
    arrays = {}
    for name, sha256 in published.files.items():
        path = folder / name
        if not path.exists():
            path = folder / f"{name}.gz"
        if not path.exists():
            raise FileNotFoundError(f"{folder} has no {name}[.gz]")
        arrays[name] = read_idx(path, sha256=sha256)
    return arrays


def _keep(published: Published, arrays: dict[str, Array]) -> Path | None:
    """Puts verified arrays into the cache, decompressed, so that the next start reads them at once."""
    folder = cache_folder() / published.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in arrays.items():
            write_idx(folder / name, array)
    except OSError as error:  # a read-only home must not stop the training
        tell(published, f"could not be kept in {folder}: {error}")
        return None
    tell(published, f"kept in {folder}")
    return folder


def _routes(published: Published) -> Iterator[tuple[str, Callable[[Path], None]]]:
    for mirror in published.mirrors:
        yield mirror, partial(_from_mirror, published, mirror)
    yield (
        f"the Debian package {published.debian_package} (apt-get download, nothing is installed)",
        partial(_from_debian, published),
    )


def _from_mirror(published: Published, mirror: str, folder: Path) -> None:
    try:
        import pooch
        import requests
    except ImportError:
        raise ImportError("downloading over HTTPS needs pooch and requests: pip install pooch") from None
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=1 << 16, timeout=_TIMEOUT)
    for name in published.files:
        try:
            downloader(f"{mirror}/{name}.gz", str(folder / f"{name}.gz"), None)
        except requests.RequestException as error:  # whose own text runs over several lines
            status = f" {error.response.status_code}" if error.response is not None else ""
            raise OSError(f"{type(error).__name__}{status} for {name}.gz") from None


def _from_debian(published: Published, folder: Path) -> None:
    """Fetches and unpacks the Debian package with package lists and caches of its own: no root, nothing installed."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise FileNotFoundError(f"{program} is not on this machine")
    from tqdm import tqdm

    folder.chmod(0o755)  # apt-get run by root downloads as a user of its own, who must be able to enter
    for private in ("lists/partial", "cache/archives/partial", "unpacked"):
        (folder / private).mkdir(parents=True)
    settings = {
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Acquire::Languages": "none",
        "Acquire::Retries": 1,
        "Acquire::http::Timeout": 20,
        "Acquire::https::Timeout": 20,
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    with tqdm(total=3, unit="step", leave=False, disable=not sys.stderr.isatty()) as progress:
        progress.set_description("reading package lists")
        _run(folder, *apt, "update")
        progress.update()
        progress.set_description(f"downloading {published.debian_package}")
        _run(folder, *apt, "download", published.debian_package)
        progress.update()
        progress.set_description("unpacking")
        _run(folder, "dpkg-deb", "--extract", *map(str, folder.glob("*.deb")), str(folder / "unpacked"))
        progress.update()
    for file in (folder / "unpacked" / published.debian_folder.lstrip("/")).iterdir():
        file.rename(folder / file.name)


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_APT_TIMEOUT
    )
    if done.returncode != 0:
        complaints = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise OSError(f"{command[0]} failed: {complaints[-1]}")
