"""Words on pictures: the typeface, and lines broken to a width."""

from collections.abc import Sequence
from functools import cache

from PIL import ImageFont

# Pillow's built-in face has plain Latin letters only; phonetic letters and Chinese prompts need one of the system's.
_FACES = ("NotoSansCJK-Regular.ttc", "DejaVuSans.ttf", "Arial Unicode.ttf", "Arial.ttf", "segoeui.ttf")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def typeface(size: int) -> Font:
    """The first sans serif of the system that is found, else the one built into Pillow; `size` in pixels."""
    for name in _FACES:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size=size)


def broken(text: str, font: Font, width: int) -> list[str]:
    """`text` in lines of at most `width` pixels, broken at spaces, and within a word only where it is too long."""
    lines = [""]
    for word in text.split():
        trial = f"{lines[-1]} {word}".strip()
        if font.getlength(trial) <= width:
            lines[-1] = trial
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def fitted(text: str, width: int, sizes: Sequence[int]) -> tuple[str, Font]:
    """`text` on one line of at most `width` pixels, in the largest of the `sizes` that will do (largest first).

    Where none will do it is shortened in the smallest; empty where not even one letter has room.
    """
    line = " ".join(text.split())[: max(width, 0)]  # a letter takes a pixel at least
    for size in sizes:
        font = typeface(size)
        if font.getlength(line) <= width:
            return line, font
    while line and font.getlength(f"{line}…") > width:
        line = line[:-1]
    return f"{line}…" if line else "", font
