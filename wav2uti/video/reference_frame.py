"""A reference frame of a speaker from a picture file, and the one that a model brings along."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wav2uti.errors import InputError
from wav2uti.files import check_ordinary
from wav2uti.tasks.exported import REFERENCE

if TYPE_CHECKING:  # which imports this
    from wav2uti.video.predictor import Predictor

MOST_PIXELS = 1 << 25  # of the picture file: 100 MB in colour
# Others of Pillow's readers are rarely looked after, and one of them runs a program.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF")


def read_reference(path: str | Path, size: int) -> NDArray[np.uint8]:
    """Read a PNG, JPEG, BMP or TIFF picture of one ultrasound frame as uint8 (size, size), grey.

    The whole picture is scaled to the square, as `prepare` does with frames: crop it to the fan first.

    Raises:
        InputError: no such file, not a picture, or one with too many pixels.
    """
    path = Path(path)
    check_ordinary(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise InputError(
                    f"The picture {path} has {width} x {height} pixels, too many for one ultrasound frame: crop it to "
                    "the fan or scale it down."
                )
            return np.array(image.convert("L").resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0))
    except InputError:
        raise
    except Exception as error:  # Pillow's parsers of broken files raise errors of many kinds
        raise InputError(f"{path} cannot be read as a picture: give a PNG or JPEG of one ultrasound frame.") from error


def default_reference(model: "Predictor") -> NDArray[np.uint8] | None:
    """The frame that a model's folder brings along for who has none of the speaker: uint8 (size, size).

    None where the model takes no reference frame, or its folder has no `reference.png`.

    Raises:
        InputError: there is one, and it cannot be read.
    """
    if not model.facts["reference"] or model.folder is None or not (path := model.folder / REFERENCE).is_file():
        return None
    return read_reference(path, model.facts["size"])
