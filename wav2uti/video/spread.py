"""Several drawings of the same speech as pictures: their mean, and how far they differ, in colours with a scale."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wav2uti.video.lettering import typeface

SPREAD = ".spread.mp4"  # what this video is called after the recording's name
BRIGHTEST = 64  # grey levels of standard deviation at the bright end of the scale, and above

_GAP = 2  # pixels of a frame between mean and spread
_BAR, _TEXT = 14, 18  # of the scale: its height, and the size of its figures
_PAPER, _INK = (24, 24, 24), (220, 220, 220)


def mean_and_spread(samples: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation over samples (S, n, H, W), S > 1, in grey levels: float32 (n, H, W) each.

    The deviation is an estimate of that of all that the model might draw, from S samples: divided by S - 1.
    """
    grey = samples.astype(np.float32)
    return grey.mean(0), grey.std(0, ddof=1)


def as_grey(mean: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The mean as frames, rounded."""
    return np.rint(mean).astype(np.uint8)


def as_colours(spread: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The spread, grey levels of any shape (...), on the scale of colours: uint8 (..., 3)."""
    places = np.rint(spread * (255 / BRIGHTEST)).clip(0, 255).astype(np.uint8)
    return _colours()[places]


def side_by_side(mean: NDArray[np.float32], spread: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Mean on the left, spread on the right: uint8 (n, H, 2 W + 2, 3) of float32 (n, H, W) each."""
    left = np.repeat(as_grey(mean)[..., None], 3, axis=-1)
    gap = np.full((*left.shape[:2], _GAP, 3), _PAPER, dtype=np.uint8)
    return np.concatenate([left, gap, as_colours(spread)], axis=2)


def width_of(width: int) -> int:
    """Width of `side_by_side` of frames of this one."""
    return 2 * width + _GAP


def explanation(samples: int, note: str) -> str:
    """The words under the video of mean and spread."""
    return (
        f"left: mean of {samples} drawings; right: standard deviation between them in grey levels (of 0 to 255), "
        f"dark where they agree; {note}"
    )


def scale(width: int) -> NDArray[np.uint8]:
    """The scale of colours with its figures, uint8 (h, width, 3), under the right half of a video of this width."""
    image = Image.new("RGB", (width, _BAR + 2 * _TEXT), _PAPER)
    left, right = width // 2 + 2 * _TEXT, width - 2 * _TEXT
    bar = np.broadcast_to(_colours()[np.linspace(0, 255, right - left).astype(int)], (_BAR, right - left, 3))
    image.paste(Image.fromarray(np.ascontiguousarray(bar)), (left, _TEXT // 2))
    draw = ImageDraw.Draw(image)
    for level in (0, BRIGHTEST // 2, BRIGHTEST):
        figure = f"{level}+" if level == BRIGHTEST else str(level)
        x = left + level * (right - left - 1) / BRIGHTEST
        draw.line([(x, _TEXT // 2 + _BAR), (x, _TEXT // 2 + _BAR + 3)], fill=_INK)
        draw.text((x, _BAR + 1.25 * _TEXT), figure, fill=_INK, font=typeface(13), anchor="mm")
    return np.asarray(image)


@cache
def _colours() -> NDArray[np.uint8]:
    """256 colours from black over red to pale yellow, of evenly rising lightness (matplotlib's inferno): (256, 3)."""
    from matplotlib import colormaps  # here: most drawings have no spread, and it takes a moment to import

    colours: NDArray[np.uint8] = colormaps["inferno"](np.arange(256), bytes=True)[:, :3]
    return colours
