"""Videos inside the page: mp4 as `data:` addresses, within a limit of size."""

import base64
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wav2uti.files import check_ordinary
from wav2uti.names import printable
from wav2uti.report.clips import Clip, label, truth_label
from wav2uti.report.runs import Run
from wav2uti.video.write import TRUTH, write_mp4

MOST_BYTES = 12 * 2**20  # of the clips' mp4s, and as many of those with sound; base64 adds a third
MOST_PIXELS = 1 << 23  # of a picture of them

T = TypeVar("T")


class Video(NamedTuple):
    """One video of a group."""

    label: str
    mp4: bytes
    poster: bytes  # PNG shown before it plays: a phone draws nothing else


class Group(NamedTuple):
    """Videos that are shown side by side and play together."""

    title: str
    seconds: float
    videos: list[Video]


def clip_groups(clips: Sequence[Clip]) -> tuple[list[Group], str]:
    """A group for each clip: real, then the runs; and a sentence about those for which there was no room."""

    def make(clip: Clip) -> Group:
        videos = [_encoded(name, frames) for name, frames in clip.rows]
        place = f"{clip.recording}, at {100 * clip.progress:.0f} % of it"
        return Group(place, len(clip.real) / 60, videos)

    return _within(clips, make)


def spoken_groups(runs: Sequence[Run]) -> tuple[list[Group], list[str]]:
    """A group for each recording of which every run has `predictions/NAME.mp4`, with sound; and warnings.

    Where one of them has the corpus's own video (see `video.write.TRUTH`), it comes first.
    """
    videos_of = [sorted(run.folder.glob("predictions/*.mp4")) for run in runs]
    truth = {
        printable(path.name.removesuffix(TRUTH)): path
        for paths in videos_of
        for path in paths
        if path.name.endswith(TRUTH)
    }
    found = [{printable(path.stem): path for path in paths if not path.name.endswith(TRUTH)} for paths in videos_of]
    names = [name for name in found[0] if all(name in of_run for of_run in found)]
    several = len({run.metrics.resolution for run in runs}) > 1
    warnings: list[str] = []

    def make(name: str) -> Group | None:
        videos, seconds = [], 0.0
        shown = [(label(run, several), paths[name]) for run, paths in zip(runs, found, strict=True)]
        if name in truth:
            shown.insert(0, (truth_label(runs[0].metrics.simulated), truth[name]))
        for title, path in shown:
            try:
                check_ordinary(path)
                if path.stat().st_size > MOST_BYTES:
                    warnings.append(f"{path} is too large for the page, which leaves out {name}.")
                    return None
                mp4 = path.read_bytes()
                # Of any other kind it might name files of its own.
                with av.open(io.BytesIO(mp4), "r", format="mp4", metadata_errors="replace") as container:
                    container.streams.video[0].codec_context.options = {"max_pixels": str(MOST_PIXELS)}
                    picture = np.asarray(next(container.decode(video=0)).to_ndarray(format="gray"), dtype=np.uint8)
                    seconds = max(seconds, (container.duration or 0) / av.time_base)
            except (OSError, av.FFmpegError, StopIteration, IndexError, AttributeError, ValueError) as error:
                warnings.append(
                    printable(f"{path} is not a video that plays ({error}), so the page leaves out {name}.")
                )
                return None
            videos.append(Video(title, mp4, _png(picture)))
        return Group(name, seconds, videos)

    groups, left_out = _within(names, make)
    return groups, [*warnings, *([left_out] if left_out else [])]


def address(kind: str, content: bytes) -> str:
    """A `data:` address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _within(items: Sequence[T], make: Callable[[T], Group | None]) -> tuple[list[Group], str]:
    """Whole groups up to `MOST_BYTES`; the rest is not even made."""
    groups: list[Group] = []
    size = 0
    for number, item in enumerate(items):
        group = make(item)
        if group is None:
            continue
        size += sum(len(video.mp4) + len(video.poster) for video in group.videos)
        if size > MOST_BYTES:
            limit = f"{MOST_BYTES // 2**20} MiB"
            left_out = (
                f"The page has room for {limit} of such videos: {len(items) - number} of {len(items)} are left out."
            )
            return groups, left_out
        groups.append(group)
    return groups, ""


def _encoded(name: str, frames: NDArray[np.uint8]) -> Video:
    """A silent H.264 mp4 of frames (T, H, W)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_mp4(path, frames, title=name)
        return Video(name, path.read_bytes(), _png(frames[0]))


def _png(frame: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="PNG")
    return buffer.getvalue()
