"""What `wav2uti predict` leaves of one recording: video, contact sheet, frames and contour, written as the frames come.

No more than a few seconds of frames are in memory at a time. All files appear together, when the last of them is whole.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from wav2uti.clock import FPS, frames_in, samples_at
from wav2uti.corpus.recording import Interval
from wav2uti.errors import InputError
from wav2uti.metrics.contour import FanFinder, track_parts
from wav2uti.metrics.contour_scores import write_contour_csv
from wav2uti.names import file_name
from wav2uti.video.archive import frames_of, opened_npz
from wav2uti.video.sheet import Frames, Glimpses, contact_sheet
from wav2uti.video.write import TRUTH, opened_mp4, write_mp4

KINDS = {"video": ".mp4", "sheet": ".png", "frames": ".npz", "contour": ".csv"}


@dataclass(frozen=True)
class Speech:
    """What is to be drawn: sound, and what else is known of it. The name may be any; the files' follows from it."""

    name: str
    audio: NDArray[np.float32]
    text: str | None = None
    reference: NDArray[np.uint8] | None = None
    real: NDArray[np.uint8] | None = None
    words: tuple[Interval, ...] = ()
    simulated: bool = False


def write_results(output: Path, speech: Speech, parts: Iterable[NDArray[np.uint8]], note: str) -> dict[str, Path]:
    """Write video, contact sheet, frames and contour while the frames are drawn.

    The contour is tracked in the end, when the place of the fan is known from all frames: they are read back from the
    file that they were written to.

    Args:
        output: folder for the files; nothing new is in it where the drawing or the writing failed.
        speech: what was drawn.
        parts: uint8 (n, H, W) each, as many frames together as the sound has.
        note: what the frames are, for the video's caption and the sheet's title.

    Returns:
        The files, by kind.

    Raises:
        InputError: a file cannot be written.
    """
    stem = file_name(speech.name)
    names = {kind: f"{stem}{end}" for kind, end in KINDS.items()}
    if speech.real is not None:
        names["truth"] = f"{stem}{TRUTH}"
    total = frames_in(len(speech.audio))
    audio = speech.audio[: samples_at(total)]
    shown = Glimpses(total, total if speech.real is None else max(total, len(speech.real)))
    fan = FanFinder()
    following = iter(parts)
    first = next(following)
    height, width = first.shape[1:]
    with together(output) as folder:
        with (
            opened_mp4(folder / names["video"], (height, width), audio, caption=note) as video,
            opened_npz(folder / names["frames"], (total, height, width), fps=FPS, note=note) as file,
        ):
            for part in chain([first], following):
                for taker in (video, file, shown, fan):
                    taker.add(part)
        curves = track_parts(frames_of(folder / names["frames"]), fan.find())
        write_contour_csv(folder / names["contour"], chain.from_iterable(curves), FPS)
        rows: list[tuple[str, Frames]] = [("generated", shown)]
        if speech.real is not None:
            rows.insert(0, ("simulated" if speech.simulated else "real", speech.real))
            kind = "SIMULATED" if speech.simulated else "recorded"
            write_mp4(folder / names["truth"], speech.real[:total], audio, caption=f"{kind}, not generated")
        contact_sheet(folder / names["sheet"], rows, audio, title=f"{speech.name}: {speech.text or ''} ({note})")
    return {kind: output / name for kind, name in names.items()}


@contextmanager
def together(output: Path) -> Iterator[Path]:
    """A hidden folder in `output`, whose files are moved there when the block has ended; gone where it failed.

    Raises:
        InputError: the folder cannot be written to.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".predict-", suffix=".part", dir=output) as folder:
            yield Path(folder)
            for path in sorted(Path(folder).iterdir()):
                path.replace(output / path.name)
    except OSError as error:
        raise InputError(
            f"{output} cannot be written to ({error.strerror}): check the folder and the free space."
        ) from error
