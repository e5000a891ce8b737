"""From the picture of a video to the square that the model sees."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def fit_square(picture: NDArray[np.uint8], size: int, pixel_aspect: float = 1.0) -> NDArray[np.uint8]:
    """Fit a whole picture into a square, keeping its shape.

    The picture is centred and the rest is black. Shrinking averages over areas, so that speckle does not alias;
    enlarging is bilinear.

    Args:
        picture: uint8 (H, W).
        size: side of the square in pixels.
        pixel_aspect: width of a pixel over its height; other than 1 on some analogue captures.

    Returns:
        uint8 (size, size).
    """
    height, width = picture.shape
    scale = size / max(width * pixel_aspect, height)
    new_width = min(max(round(width * pixel_aspect * scale), 1), size)
    new_height = min(max(round(height * scale), 1), size)
    shrinks = new_width <= width and new_height <= height
    filter_ = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    fitted = np.asarray(Image.fromarray(picture).resize((new_width, new_height), filter_))
    square = np.zeros((size, size), dtype=np.uint8)
    top, left = (size - new_height) // 2, (size - new_width) // 2
    square[top : top + new_height, left : left + new_width] = fitted
    return square
