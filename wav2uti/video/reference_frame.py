"""A reference frame of a speaker from a picture file."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from wav2uti.errors import InputError


def read_reference(path: str | Path, size: int) -> NDArray[np.uint8]:
    """Read a PNG or JPEG picture of one ultrasound frame as uint8 (size, size), grey.

    The whole picture is scaled to the square, as `prepare` does with frames: crop it to the fan first.

    Raises:
        InputError: no such file, or not a picture.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no picture {path}: give a PNG or JPEG of one ultrasound frame of the speaker.")
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L").resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as a picture: give a PNG or JPEG of one ultrasound frame.") from error
