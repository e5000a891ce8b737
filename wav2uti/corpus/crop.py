"""From the picture of a video to the square that the model sees, and where in the picture the ultrasound is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

Crop = tuple[int, int, int, int]  # x, y, width, height in pixels

MOVING = 3.0  # grey levels; compression leaves a still picture below, speckle in the dark parts of a fan moves more
_THICKNESS = 60  # the lower side of the picture over the width of a line that is a cursor and no ultrasound
WHITE = 235  # grey from which a background is white
_WHITE_SHARE = 0.05  # of the picture; a smaller white region is a letter or a button
_WHITE_MARGIN = 2  # pixels that compression blurs at the edge of a white background


def parse_crop(text: str) -> Crop | Literal["auto"]:
    """A crop as users write it: "x,y,width,height" or "x y width height" in pixels, or "auto".

    >>> parse_crop("120, 80, 640, 480")
    (120, 80, 640, 480)

    Raises:
        ValueError: what to give instead.
    """
    if text.strip().lower() == "auto":
        return "auto"
    numbers = re.fullmatch(r"\s*" + r"[ ,;]+".join([r"([0-9]{1,6})"] * 4) + r"\s*", text)
    x, y, width, height = (int(number) for number in numbers.groups()) if numbers else (0, 0, 0, 0)
    if not width or not height:
        raise ValueError('x, y, width and height in pixels, such as "120 80 640 480", or "auto"')
    return x, y, width, height


@dataclass(frozen=True)
class Fit:
    """Fits a whole picture into a square, keeping its shape: centred, the rest black.

    Attributes:
        width, height: of the picture in pixels.
        size: side of the square in pixels.
        pixel_aspect: width of a pixel over its height; other than 1 on some analogue captures.
    """

    width: int
    height: int
    size: int
    pixel_aspect: float = 1.0

    @cached_property
    def _inner(self) -> tuple[int, int, int, int]:
        """Left, top, width and height of the picture in the square."""
        wide = self.width * self.pixel_aspect
        scale = self.size / max(wide, self.height)
        width = min(max(round(wide * scale), 1), self.size)
        height = min(max(round(self.height * scale), 1), self.size)
        return (self.size - width) // 2, (self.size - height) // 2, width, height

    @cached_property
    def _weights(self) -> tuple[sparse.csr_array, sparse.csr_array]:
        """Of the rows (height, self.height) and of the columns (width, self.width) of the picture."""
        _, _, width, height = self._inner
        return _resampling(self.height, height), _resampling(self.width, width)

    def draw(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture uint8 (height, width) as uint8 (size, size), rounded to nearest.

        Shrinking averages over areas, so that speckle does not alias; enlarging is bilinear.
        """
        left, top, width, height = self._inner
        rows, columns = self._weights
        fitted = (columns @ (rows @ picture.astype(np.float32)).T).T
        square = np.zeros((self.size, self.size), dtype=np.uint8)
        square[top : top + height, left : left + width] = np.rint(fitted)
        return square

    def to_pixels(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points of the picture as columns and rows of the square; whole numbers are the centres of pixels in both."""
        left, top, width, height = self._inner
        columns: NDArray[np.float64] = left + (np.asarray(x) + 0.5) * (width / self.width) - 0.5
        rows: NDArray[np.float64] = top + (np.asarray(y) + 0.5) * (height / self.height) - 0.5
        return columns, rows


def moving_boxes(std: NDArray[np.floating]) -> list[Crop]:
    """Bounding boxes of the connected regions that move, largest first.

    Thin lines are none: the cursor that runs over a waveform, the edges of letters. Boxes that overlap are one, since
    the still shadow of a bone may part a fan.

    Args:
        std: (H, W), standard deviation of the grey of each pixel over time.
    """
    thickness = max(min(std.shape) // _THICKNESS, 3) | 1
    margin = thickness  # beyond the border, where a closing would eat from a region that touches it
    moving = np.pad(std > MOVING, margin)
    moving = ndimage.binary_closing(moving, np.ones((3, 3)))
    moving = ndimage.binary_opening(moving, np.ones((thickness, thickness)))[margin:-margin, margin:-margin]
    boxes = [
        (columns.start, rows.start, columns.stop, rows.stop)
        for rows, columns in ndimage.find_objects(ndimage.label(moving)[0])
    ]
    boxes = sorted(_joined(boxes), key=lambda box: (box[0] - box[2]) * (box[3] - box[1]))
    return [(left, top, right - left, bottom - top) for left, top, right, bottom in boxes]


class Motion:
    """How much each pixel of a video moves, from frames that go by."""

    def __init__(self, height: int, width: int) -> None:
        self._sum = np.zeros((height, width))
        self._squares = np.zeros((height, width))
        self._count = 0

    def see(self, picture: NDArray[np.uint8]) -> None:
        """Take note of a frame uint8 (H, W)."""
        self._sum += picture
        self._squares += np.square(picture, dtype=np.float64)
        self._count += 1

    def std(self) -> NDArray[np.float64]:
        """Standard deviation of the grey of each pixel over time, (H, W)."""
        count = max(self._count, 1)
        variance: NDArray[np.float64] = self._squares / count - np.square(self._sum / count)
        return np.sqrt(np.maximum(variance, 0.0))

    def share_beside(self) -> float:
        """Share of the moving regions' area that lies beside the largest one."""
        areas = [width * height for _, _, width, height in moving_boxes(self.std())]
        return 1 - areas[0] / sum(areas) if areas else 0.0


def white_background(picture: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """The white that reaches the border of a picture uint8 (H, W), such as the paper around a fan, as a mask (H, W).

    It is grown by two pixels. None where it is too little to be a background.
    """
    labels = ndimage.label(picture >= WHITE)[0]
    border = np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    white = np.isin(labels, border[border > 0])
    if white.mean() <= _WHITE_SHARE:
        return None
    grown: NDArray[np.bool_] = ndimage.binary_dilation(white, np.ones((3, 3)), iterations=_WHITE_MARGIN)
    return grown


def _resampling(before: int, after: int) -> sparse.csr_array:
    """Weights float32 (after, before) by which pixels along one side are resampled; each row sums to 1."""
    if after <= before:
        edges = np.arange(after + 1)[:, None] * (before / after)
        pixels = np.arange(before)
        shared = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
        weights = np.maximum(shared, 0.0) * (after / before)
    else:
        centres = np.clip((np.arange(after) + 0.5) * (before / after) - 0.5, 0, before - 1)[:, None]
        weights = np.maximum(1 - np.abs(centres - np.arange(before)), 0.0)
    return sparse.csr_array(weights.astype(np.float32))


def _joined(boxes: Sequence[Crop]) -> list[Crop]:
    """Boxes (left, top, right, bottom), those that overlap made one."""
    done: list[Crop] = []
    waiting = list(boxes)
    while waiting:
        box = waiting.pop()
        for other in done:
            if box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]:
                done.remove(other)
                left, top = min(box[0], other[0]), min(box[1], other[1])
                waiting.append((left, top, max(box[2], other[2]), max(box[3], other[3])))
                break
        else:
            done.append(box)
    return done
