"""What the page shows of a drawing beside its files: waveform, spectrogram, and the contour over the video."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wav2uti.app.job import VIDEOS, View
from wav2uti.clock import FPS, frames_in, samples_at
from wav2uti.files import replaced
from wav2uti.video.results import Speech
from wav2uti.video.sheet import spectrogram

COLUMNS = 800  # of the waveform
WIDTH, HEIGHT = 1600, 160  # of the spectrogram, in pixels
SPECTROGRAM, CONTOUR, REFERENCE = "spectrogram.png", "contour.json", "reference.png"


def view_of(speech: Speech, written: dict[str, Path], folder: Path, simulated: bool) -> View:
    """Write waveform, spectrogram, contour and reference frame of a drawing for the page.

    Args:
        speech: what was drawn.
        written: its results, by kind.
        folder: for the files of the view.
        simulated: the model has seen simulated tongues only.
    """
    frames = frames_in(len(speech.audio))
    audio = speech.audio[: samples_at(frames)]
    with replaced(folder / SPECTROGRAM) as part:
        spectrogram(audio, WIDTH, HEIGHT).save(part, format="PNG")
    with replaced(folder / CONTOUR) as part:
        part.write_text(json.dumps(_contours(written["frames"]), separators=(",", ":")))
    if speech.reference is not None:
        with replaced(folder / REFERENCE) as part:
            Image.fromarray(speech.reference).save(part, format="PNG")
    with np.load(written["frames"], allow_pickle=False) as archive:
        height, width = archive["frames"].shape[1:]
    return View(
        frames=frames,
        fps=FPS,
        size=(height, width),
        simulated=simulated,
        videos={kind: written[kind].name for kind in VIDEOS if kind in written},
        wave=waveform(audio),
        spectrogram=SPECTROGRAM,
        contour=CONTOUR,
        reference=None if speech.reference is None else REFERENCE,
        text=speech.text,
    )


def waveform(audio: NDArray[np.float32], columns: int = COLUMNS) -> list[tuple[int, int]]:
    """Greatest and least sample of each column, as percent of the peak; silence stays flat.

    >>> waveform(np.array([0, 1, -0.5, 0], np.float32), 2)
    [(100, 0), (0, -50)]
    """
    edges = np.linspace(0, len(audio), columns + 1).astype(int)
    gain = 100 / max(float(np.abs(audio).max(initial=0)), 1e-3)
    pieces = [audio[first : max(last, first + 1)] for first, last in pairwise(edges.tolist())]
    return [(round(gain * float(piece.max())), round(gain * float(piece.min()))) for piece in pieces]


def _contours(path: Path) -> dict[str, list[list[float]]]:
    """By video, of each frame the points x, y, x, y, ...: of several samples those of the first, and their mean."""
    with np.load(path, allow_pickle=False) as archive:
        mean = archive["contour"]
        first = archive["contours"][0] if "contours" in archive else mean
    return {"video": _points(first), **({} if first is mean else {"spread": _points(mean)})}


def _points(contour: NDArray[np.float32]) -> list[list[float]]:
    """Of each frame of (T, K, 2) the points that are finite, one after the other, to 0.01 pixels."""
    return [np.round(points[np.isfinite(points).all(-1)].astype(float), 2).ravel().tolist() for points in contour]
