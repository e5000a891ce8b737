"""A contact sheet: evenly spaced frames of one or more videos under waveform, spectrogram and labels of their speech.

All of it has one time axis, on which frame k stands at k/60 s, the instant that it shows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from wav2uti.clock import FPS, samples_at, seconds_at
from wav2uti.corpus.recording import Interval
from wav2uti.errors import InputError
from wav2uti.files import replaced
from wav2uti.names import printable
from wav2uti.video.lettering import broken, fitted, typeface

TILE = 128  # longer side of a frame on the sheet, in pixels
COLUMNS = 12  # frames in a row
MOST_LETTERS = 1000  # of a title

_GAP, _MARGIN, _LABEL = 4, 20, 132  # between tiles, around the sheet, and the column of row labels
_WAVE, _SPECTROGRAM, _TIER = 56, 112, 22  # heights of the strips
_PAPER, _PANEL, _INK, _FAINT, _LINE = (17, 18, 20), (28, 30, 33), (232, 232, 228), (150, 152, 155), (120, 190, 235)
_LABELLED = (52, 56, 62)  # ground of a labelled interval
# Of contours: orange and sky blue of Okabe and Ito, apart from every grey and each other for the colour-blind too.
ORANGE, BLUE = (230, 159, 0), (86, 180, 233)
_STROKE, _FINE = 1.5, 4  # width of the contour in pixels of the sheet; it is drawn at this many times the resolution
_DYNAMIC_RANGE = 60.0  # dB below the loudest point that are shown in the spectrogram
_LONGEST_WINDOW = 4096  # samples of the spectrogram's window: the memory needed does not grow with the pixels' duration
_BLOCK = 64  # pixel columns of the spectrogram that are computed together


class Frames(Protocol):
    """What a row needs of its frames: an array uint8 (T, H, W), or (T, H, W, 3) in colour, or what reads a frame once
    it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]: ...


class Glimpses:
    """Of a video whose frames come in parts, those that a contact sheet shows: a row's `Frames`.

    Args:
        total: frames of the video, T.
        longest: frames of the longest video on the sheet.
        columns: of the sheet.
    """

    def __init__(self, total: int, longest: int, columns: int = COLUMNS) -> None:
        self.total = total
        self.wanted = {min(instant, total - 1) for instant in instants_of(longest, columns)}
        self.kept: dict[int, NDArray[np.uint8]] = {}
        self.seen = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, H, W), or (T, H, W, 3) in colour."""
        return (self.total, *next(iter(self.kept.values())).shape)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return self.kept[index]

    def add(self, frames: NDArray[np.uint8]) -> None:
        """Pick from the next frames, uint8 (n, H, W), or (n, H, W, 3)."""
        places = range(self.seen, self.seen + len(frames))
        # Copies: a view would keep the whole part.
        self.kept |= {place: frames[place - self.seen].copy() for place in self.wanted if place in places}
        self.seen += len(frames)


def instants_of(total: int, columns: int = COLUMNS) -> list[int]:
    """The frames that a sheet of videos of up to `total` frames shows; fewer than `columns` of a shorter one.

    >>> instants_of(120, 4), instants_of(2, 4)
    ([15, 45, 75, 105], [0, 1])
    """
    columns = max(1, min(columns, total))
    return [int((column + 0.5) * total / columns) for column in range(columns)]


class _Layout(NamedTuple):
    """Where things stand on the sheet, in pixels."""

    columns: int
    left: int  # of the tiles and strips
    width: int  # of the tiles and strips: the time axis


class Trace(NamedTuple):
    """A line drawn on a row's frames.

    Attributes:
        points: (T, K, 2), (x, y) in pixels of the frames, whole numbers being centres of pixels; points that are not
            finite are left out.
        colour: red, green, blue.
    """

    points: NDArray[np.float32]
    colour: tuple[int, int, int] = ORANGE


class Row(NamedTuple):
    """One row of tiles: a label, frames uint8 (T, H, W), and what is drawn on them."""

    label: str
    frames: Frames
    traces: tuple[Trace, ...] = ()


def contact_sheet(
    path: str | Path,
    rows: Sequence[tuple[str, Frames] | Row],
    audio: NDArray[np.float32] | None = None,
    title: str = "",
    columns: int = COLUMNS,
    words: Sequence[Interval] = (),
    phones: Sequence[Interval] = (),
    contour: NDArray[np.float32] | None = None,
) -> None:
    """Write a PNG of evenly spaced frames, one row per video.

    The time axis runs over the whole width: a frame stands in the middle of the stretch of time that it represents,
    under that stretch of the waveform, the spectrogram and the labels, and all rows show the same instants.

    Args:
        path: the .png file; it appears when it is complete.
        rows: label and frames, uint8 (T, H, W), or (T, H, W, 3) in colour, at 60 a second, of each row from the top; a
            `Row` where lines are to be drawn on them.
        audio: float32 (N,) at 16 kHz, for the strips above the rows; None for no strips.
        title: words at the top and in the file's metadata.
        columns: frames in a row; fewer where the videos are shorter.
        words, phones: labels for a strip of their own each; none for no strip.
        contour: (T, K, 2), points (x, y) in pixels of the first row's frames, whole numbers being centres of pixels;
            points that are not finite are left out. It is drawn in a second row of these frames, so that the pixels
            under the line can be seen above it.

    Raises:
        InputError: a row without frames, a contour of other frames, or the file cannot be written.
    """
    path, title = Path(path), printable(title)
    shown = [Row(*row) for row in rows]
    if not shown or any(len(row.frames.shape) not in (3, 4) or min(row.frames.shape) == 0 for row in shown):
        raise InputError(f"No contact sheet {path}: it needs at least one row, and frames (T, H, W) in every row.")
    if contour is not None:
        shown.insert(1, Row(f"{shown[0].label}, with contour", shown[0].frames, (Trace(contour),)))
    for frames, points in ((row.frames, trace.points) for row in shown for trace in row.traces):
        if points.ndim != 3 or points.shape[::2] != (frames.shape[0], 2):
            raise InputError(f"No contact sheet {path}: a contour {points.shape} does not fit frames {frames.shape}.")
    total = max(row.frames.shape[0] for row in shown)
    instants = instants_of(total, columns)
    layout = _Layout(len(instants), _MARGIN + _LABEL, len(instants) * (TILE + _GAP))
    blocks = [_title(title, layout)] if title else []
    if audio is not None:
        blocks.append(_strips(audio, total, layout))
    blocks += [_tier(name, tier, total, layout) for name, tier in (("words", words), ("phones", phones)) if tier]
    blocks.append(_times(instants, total, layout))
    blocks += [_tiles(row, instants, layout) for row in shown]
    size = (layout.left + layout.width + _MARGIN, sum(block.height for block in blocks) + 2 * _MARGIN)
    sheet = Image.new("RGB", size, _PAPER)
    top = _MARGIN
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    metadata = PngInfo()
    metadata.add_itxt("Title", title[:MOST_LETTERS])
    with replaced(path) as part:
        sheet.save(part, format="PNG", pnginfo=metadata)


def _title(title: str, layout: _Layout) -> Image.Image:
    """The title in as many lines as it needs."""
    font = typeface(20)
    # The text of an hour would make the picture higher than any viewer shows.
    lines = broken(title[:MOST_LETTERS], font, layout.left - _MARGIN + layout.width)
    if len(title) > MOST_LETTERS:
        lines[-1] += " …"
    block, draw = _block(28 * len(lines) + 12, layout)
    for number, line in enumerate(lines):
        draw.text((_MARGIN, 28 * number + 12), line, fill=_INK, font=font, anchor="lm")
    return block


def _strips(audio: NDArray[np.float32], total: int, layout: _Layout) -> Image.Image:
    """Waveform and spectrogram over the time of `total` frames."""
    length = samples_at(total)
    sound = audio[:length]
    if len(sound) < length:
        sound = np.pad(sound, (0, length - len(sound)))
    block, draw = _block(_WAVE + _GAP + _SPECTROGRAM + _GAP, layout)
    block.paste(_waveform(sound, layout.width), (layout.left, 0))
    block.paste(spectrogram(sound, layout.width, _SPECTROGRAM), (layout.left, _WAVE + _GAP))
    font = typeface(13)
    draw.text((_MARGIN, _WAVE / 2), "waveform", fill=_FAINT, font=font, anchor="lm")
    middle = _WAVE + _GAP + _SPECTROGRAM / 2
    draw.text((_MARGIN, middle), "spectrogram", fill=_FAINT, font=font, anchor="lm")
    right = layout.left - 6
    draw.text((right, _WAVE + _GAP + 6), "8 kHz", fill=_FAINT, font=typeface(11), anchor="rm")
    draw.text((right, _WAVE + _GAP + _SPECTROGRAM - 6), "0", fill=_FAINT, font=typeface(11), anchor="rm")
    return block


def _tier(name: str, intervals: Sequence[Interval], total: int, layout: _Layout) -> Image.Image:
    """Labelled intervals over the time of `total` frames, each with its boundaries and its label between them."""
    block, draw = _block(_TIER + _GAP, layout)
    draw.text((_MARGIN, _TIER / 2), name, fill=_FAINT, font=typeface(13), anchor="lm")
    strip = Image.new("RGB", (layout.width, _TIER), _PANEL)
    pen = ImageDraw.Draw(strip)
    for label, *times in ((i.label, i.start, i.end) for i in intervals):
        left, right = (round(min(max(t / seconds_at(total), 0), 1) * (layout.width - 1)) for t in times)
        if left >= right:
            continue
        pen.rectangle([left, 0, right, _TIER - 1], fill=_LABELLED)
        pen.line([left, 0, left, _TIER], fill=_FAINT)
        pen.line([right, 0, right, _TIER], fill=_FAINT)
        text, font = fitted(label, right - left - 3, (13, 11, 9))
        pen.text(((left + right) / 2, _TIER / 2), text, fill=_INK, font=font, anchor="mm")
    block.paste(strip, (layout.left, 0))
    return block


def _times(instants: list[int], total: int, layout: _Layout) -> Image.Image:
    """The instant of each tile: a mark on the time axis, and milliseconds at the middle of the tile."""
    block, draw = _block(30, layout)
    font = typeface(13)
    draw.text((_MARGIN, 18), "time (ms)", fill=_FAINT, font=font, anchor="lm")
    for column, instant in enumerate(instants):
        mark = layout.left + round(instant / total * layout.width)
        draw.line([(mark, 1), (mark, 6)], fill=_FAINT)
        x = layout.left + (column + 0.5) * layout.width / layout.columns
        draw.text((x, 18), f"{1000 * instant / FPS:.0f}", fill=_FAINT, font=font, anchor="mm")
    return block


def _tiles(row: Row, instants: list[int], layout: _Layout) -> Image.Image:
    """The tiles of one video; one that ends before an instant shows its last frame there."""
    total, height, width = row.frames.shape[:3]
    scale = TILE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    block, draw = _block(size[1] + _GAP, layout)
    font = typeface(15)
    lines = broken(row.label, font, _LABEL - 12)
    for number, line in enumerate(lines):
        middle = size[1] / 2 + 20 * (number - (len(lines) - 1) / 2)
        draw.text((_MARGIN, middle), line, fill=_INK, font=font, anchor="lm")
    for column, instant in enumerate(instants):
        frame = min(instant, total - 1)
        tile = Image.fromarray(row.frames[frame]).resize(size, Image.Resampling.BICUBIC).convert("RGB")
        for trace in row.traces:
            _draw(tile, trace.points[frame], trace.colour, (size[0] / width, size[1] / height))
        block.paste(tile, (layout.left + column * (TILE + _GAP) + (TILE + _GAP - size[0]) // 2, 0))
    return block


def _draw(
    tile: Image.Image, points: NDArray[np.float32], colour: tuple[int, int, int], scale: tuple[float, float]
) -> None:
    """Draw a line through points (K, 2) in pixels of the frame that a tile shows enlarged by `scale`."""
    mask = Image.new("L", (_FINE * tile.width, _FINE * tile.height))
    pen = ImageDraw.Draw(mask)
    # A pixel reaches half of one to either side of its centre. Pillow would cut off what is behind the decimal point.
    places = np.rint((points + 0.5) * scale * _FINE - 0.5)
    known: NDArray[np.bool_] = np.all(np.abs(places) < 4 * max(mask.size), axis=-1)  # neither NaN nor far away
    radius = round(_FINE * _STROKE / 2)
    for number, (x, y) in enumerate(places):
        if not known[number]:
            continue
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
        if number and known[number - 1]:
            pen.line([*places[number - 1], x, y], fill=255, width=2 * radius + 1)
    tile.paste(colour, mask=mask.resize(tile.size, Image.Resampling.BOX))


def _waveform(sound: NDArray[np.float32], width: int) -> Image.Image:
    """Least and greatest sample of each pixel column, the peak of the recording at full height."""
    image = Image.new("RGB", (width, _WAVE), _PANEL)
    draw = ImageDraw.Draw(image)
    half = (_WAVE - 5) / 2
    peak = max(float(sound.max(initial=0)), -float(sound.min(initial=0)))
    gain = half / max(peak, 1e-3)  # silence stays flat
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
    window = min(max(96, len(sound) // width), _LONGEST_WINDOW)
    starts = ((np.arange(width) + 0.5) * len(sound) / width).astype(int) - window // 2
    decibels = np.concatenate([_decibels(sound, starts[k : k + _BLOCK], window) for k in range(0, width, _BLOCK)])
    grey = np.clip(1 + (decibels - decibels.max()) / _DYNAMIC_RANGE, 0, 1) if np.any(sound) else np.zeros_like(decibels)
    image = Image.fromarray((255 * grey.T[::-1]).astype(np.uint8))
    return image.resize((width, height), Image.Resampling.BOX)


def _decibels(sound: NDArray[np.float32], starts: NDArray[np.int64], window: int) -> NDArray[np.float32]:
    """Spectra in decibels (n, bins) of the windows that begin at rising `starts` (n,), of silence beyond the sound."""
    first, last = int(starts[0]) - 1, int(starts[-1]) + window
    piece = np.pad(sound[max(first, 0) : max(last, 0)], (max(-first, 0), 0))
    piece = np.pad(piece, (0, last - first - len(piece)))
    emphasized = piece[1:] - 0.95 * piece[:-1]  # lifts the higher formants into view
    pieces = np.lib.stride_tricks.sliding_window_view(emphasized, window)[starts - starts[0]] * np.hanning(window)
    points = 1 << max(9, (window - 1).bit_length())
    decibels = 20 * np.log10(np.abs(np.fft.rfft(pieces, points)) + 1e-6)
    return decibels.astype(np.float32)


def _block(height: int, layout: _Layout) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty stretch of the sheet in its full width."""
    image = Image.new("RGB", (layout.left + layout.width + _MARGIN, height), _PAPER)
    return image, ImageDraw.Draw(image)
