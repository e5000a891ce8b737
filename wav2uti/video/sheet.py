"""A contact sheet: evenly spaced frames of one or more videos under the waveform and spectrogram of their speech."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from wav2uti.clock import FPS, samples_at
from wav2uti.errors import InputError
from wav2uti.files import replaced
from wav2uti.video.lettering import broken, typeface

TILE = 128  # longer side of a frame on the sheet, in pixels

_GAP, _MARGIN, _LABEL = 4, 20, 132  # between tiles, around the sheet, and the column of row labels
_WAVE, _SPECTROGRAM = 56, 112  # heights of the two strips
_PAPER, _PANEL, _INK, _FAINT, _LINE = (17, 18, 20), (28, 30, 33), (232, 232, 228), (150, 152, 155), (120, 190, 235)
_DYNAMIC_RANGE = 60.0  # dB below the loudest point that are shown in the spectrogram


class _Layout(NamedTuple):
    """Where things stand on the sheet, in pixels."""

    columns: int
    left: int  # of the tiles and strips
    width: int  # of the tiles and strips: the time axis


def contact_sheet(
    path: str | Path,
    rows: list[tuple[str, NDArray[np.uint8]]],
    audio: NDArray[np.float32] | None = None,
    title: str = "",
    columns: int = 12,
) -> None:
    """Write a PNG of evenly spaced frames, one row per video.

    The time axis runs over the whole width: a frame stands in the middle of the stretch of time that it represents,
    under that stretch of the waveform and the spectrogram, and all rows show the same instants.

    Args:
        path: the .png file; it appears when it is complete.
        rows: label and frames, uint8 (T, H, W) at 60 frames a second, of each row from the top.
        audio: float32 (N,) at 16 kHz, for the strips above the rows; None for no strips.
        title: words at the top and in the file's metadata.
        columns: frames in a row; fewer where the videos are shorter.

    Raises:
        InputError: a row without frames, or the file cannot be written.
    """
    path = Path(path)
    if not rows or any(frames.ndim != 3 or min(frames.shape) == 0 for _, frames in rows):
        raise InputError(f"No contact sheet {path}: it needs at least one row, and frames (T, H, W) in every row.")
    total = max(len(frames) for _, frames in rows)
    columns = max(1, min(columns, total))
    layout = _Layout(columns, _MARGIN + _LABEL, columns * (TILE + _GAP))
    instants = [int((column + 0.5) * total / columns) for column in range(columns)]
    blocks = [_title(title, layout)] if title else []
    if audio is not None:
        blocks.append(_strips(audio, total, instants, layout))
    blocks.append(_times(instants, layout))
    blocks += [_row(label, frames, instants, layout) for label, frames in rows]
    size = (layout.left + layout.width + _MARGIN, sum(block.height for block in blocks) + 2 * _MARGIN)
    sheet = Image.new("RGB", size, _PAPER)
    top = _MARGIN
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    words = PngInfo()
    words.add_itxt("Title", title)
    with replaced(path) as part:
        sheet.save(part, format="PNG", pnginfo=words)


def _title(title: str, layout: _Layout) -> Image.Image:
    """The title in as many lines as it needs."""
    font = typeface(20)
    lines = broken(title, font, layout.left - _MARGIN + layout.width)
    block, draw = _block(28 * len(lines) + 12, layout)
    for number, line in enumerate(lines):
        draw.text((_MARGIN, 28 * number + 12), line, fill=_INK, font=font, anchor="lm")
    return block


def _strips(audio: NDArray[np.float32], total: int, instants: list[int], layout: _Layout) -> Image.Image:
    """Waveform and spectrogram over the time of `total` frames, with the instants of the tiles marked."""
    length = samples_at(total)
    sound = np.zeros(length, dtype=np.float32)
    sound[: min(length, len(audio))] = audio[:length]
    block, draw = _block(_WAVE + _GAP + _SPECTROGRAM + 8, layout)
    block.paste(_waveform(sound, layout.width), (layout.left, 0))
    block.paste(spectrogram(sound, layout.width, _SPECTROGRAM), (layout.left, _WAVE + _GAP))
    font = typeface(13)
    draw.text((_MARGIN, _WAVE / 2), "waveform", fill=_FAINT, font=font, anchor="lm")
    middle = _WAVE + _GAP + _SPECTROGRAM / 2
    draw.text((_MARGIN, middle), "spectrogram", fill=_FAINT, font=font, anchor="lm")
    right = layout.left - 6
    draw.text((right, _WAVE + _GAP + 6), "8 kHz", fill=_FAINT, font=typeface(11), anchor="rm")
    draw.text((right, _WAVE + _GAP + _SPECTROGRAM - 6), "0", fill=_FAINT, font=typeface(11), anchor="rm")
    for instant in instants:
        x = layout.left + round((instant + 0.5) / total * layout.width)
        draw.line([(x, block.height - 7), (x, block.height - 2)], fill=_FAINT)
    return block


def _times(instants: list[int], layout: _Layout) -> Image.Image:
    """Time of each tile in milliseconds, at the centre of its frame."""
    block, draw = _block(24, layout)
    font = typeface(13)
    draw.text((_MARGIN, 12), "time (ms)", fill=_FAINT, font=font, anchor="lm")
    for column, instant in enumerate(instants):
        x = layout.left + (column + 0.5) * layout.width / layout.columns
        draw.text((x, 12), f"{1000 * (instant + 0.5) / FPS:.0f}", fill=_FAINT, font=font, anchor="mm")
    return block


def _row(label: str, frames: NDArray[np.uint8], instants: list[int], layout: _Layout) -> Image.Image:
    """The tiles of one video; one that ends before an instant shows its last frame there."""
    height, width = frames.shape[1:]
    scale = TILE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    block, draw = _block(size[1] + _GAP, layout)
    font = typeface(15)
    lines = broken(label, font, _LABEL - 12)
    for number, line in enumerate(lines):
        middle = size[1] / 2 + 20 * (number - (len(lines) - 1) / 2)
        draw.text((_MARGIN, middle), line, fill=_INK, font=font, anchor="lm")
    for column, instant in enumerate(instants):
        tile = Image.fromarray(frames[min(instant, len(frames) - 1)]).resize(size, Image.Resampling.BICUBIC)
        block.paste(tile, (layout.left + column * (TILE + _GAP) + (TILE + _GAP - size[0]) // 2, 0))
    return block


def _waveform(sound: NDArray[np.float32], width: int) -> Image.Image:
    """Least and greatest sample of each pixel column, the peak of the recording at full height."""
    image = Image.new("RGB", (width, _WAVE), _PANEL)
    draw = ImageDraw.Draw(image)
    half = (_WAVE - 5) / 2
    gain = half / max(float(np.abs(sound).max(initial=0)), 1e-3)  # silence stays flat
    edges = np.linspace(0, len(sound), width + 1).astype(int)
    for x in range(width):
        piece = sound[edges[x] : max(edges[x + 1], edges[x] + 1)]
        middle = (_WAVE - 1) / 2
        draw.line([(x, middle - gain * float(piece.max())), (x, middle - gain * float(piece.min()))], fill=_LINE)
    return image


def spectrogram(sound: NDArray[np.float32], width: int, height: int) -> Image.Image:
    """Wide-band log spectrogram, 0 to 8 kHz from the bottom, `_DYNAMIC_RANGE` dB from black to white.

    Hann windows of 6 ms (longer where a pixel lasts longer), one centred on each pixel column.
    """
    window = max(96, len(sound) // width)
    points = 1 << max(9, (window - 1).bit_length())
    padded = np.pad(sound, (window // 2, window))
    starts = ((np.arange(width) + 0.5) * len(sound) / width).astype(int)
    emphasized = np.append(padded[:1], padded[1:] - 0.95 * padded[:-1])  # lifts the higher formants into view
    pieces = np.lib.stride_tricks.sliding_window_view(emphasized, window)[starts] * np.hanning(window)
    decibels = 20 * np.log10(np.abs(np.fft.rfft(pieces, points)) + 1e-6)
    grey = np.clip(1 + (decibels - decibels.max()) / _DYNAMIC_RANGE, 0, 1) if np.any(sound) else np.zeros_like(decibels)
    image = Image.fromarray((255 * grey.T[::-1]).astype(np.uint8))
    return image.resize((width, height), Image.Resampling.BOX)


def _block(height: int, layout: _Layout) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty stretch of the sheet in its full width."""
    image = Image.new("RGB", (layout.left + layout.width + _MARGIN, height), _PAPER)
    return image, ImageDraw.Draw(image)
