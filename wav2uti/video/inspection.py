"""The command `wav2uti inspect`: what shards hold, in words and as a contact sheet."""

from collections import Counter
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from wav2uti.clock import FPS, SAMPLE_RATE, seconds_at
from wav2uti.corpus.recording import Interval
from wav2uti.corpus.shards import SCHEMA, RecordingInfo, Shard, find_shards
from wav2uti.errors import InputError
from wav2uti.names import file_name, printable
from wav2uti.video.sheet import contact_sheet

MOST_COLUMNS = 200  # frames on a sheet: 26,000 pixels
MOST_ROWS = 40  # recordings listed
MOST_NAMES = 5  # ids named in a sentence

Facts = list[tuple[str, str]]


def inspect(shard: str | Path, id: str | None = None, out: Path | None = None, columns: int = 12) -> None:
    """Show what shards hold, in words and as a picture.

    Prints the facts of the corpus and a list of its recordings, or with ID all that is known of that recording.
    The recording (without ID the first one) is drawn on a contact sheet: waveform, spectrogram, words, phones, frames
    and the tongue contour, as far as it has them, on one time axis.

    Args:
        shard: a shard, a folder of shards, or the address of either (s3://bucket/folder, https://host/shard.h5).
        id: a recording of them.
        out: picture to write; by default ID.png in the current folder.
        columns: frames on the sheet, evenly spaced in time.
    """
    if not 1 <= columns <= MOST_COLUMNS:
        raise InputError(f"A contact sheet cannot show {columns} frames; give --columns from 1 to {MOST_COLUMNS}.")
    shards = [Shard(path) for path in find_shards(shard)]
    if id is None:
        contents = [_contents(opened) for opened in shards]
        infos = [info for content in contents for info in content.infos]
        if not infos:
            raise InputError(f"There are no recordings in {shard}; prepare the corpus again.")
        _print_facts(_corpus_facts(contents, infos))
        _print_recordings(infos)
        id, place = infos[0].id, Shard(infos[0].shard)
    else:
        place = _holding(shards, id, shard)
        _print_facts(_recording_facts(place, id))
    out = out or Path(f"{file_name(id)}.png")
    write_sheet(place, id, out, columns)
    print(f"sheet: {printable(str(out))}")


def write_sheet(shard: Shard, id: str, out: Path, columns: int = 12) -> None:
    """Draw a recording of a shard; only the frames shown are read. Raises InputError where a file refuses."""
    info = shard.info(id)
    title = f"{id}: {info.text or 'no text'} (speaker {info.speaker})"
    contact_sheet(
        out,
        [("simulated frames" if info.simulated else "frames", _StoredFrames(shard, info))],
        shard.audio(id),
        f"{title}, SIMULATED: no person was recorded" if info.simulated else title,
        columns,
        shard.words(id),
        shard.phones(id),
        shard.contour(id),
    )


class _StoredFrames:
    """Frames of a recording, each read when it is asked for: a long recording's do not fit in memory."""

    def __init__(self, shard: Shard, info: RecordingInfo) -> None:
        self.shape: tuple[int, ...] = (info.frames, *info.size)
        self._shard, self._id = shard, info.id

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        frame: NDArray[np.uint8] = self._shard.frames(self._id, index, index + 1)[0]
        return frame


class _Contents(NamedTuple):
    """What the facts of a corpus are made of, for one shard."""

    infos: list[RecordingInfo]
    warned: list[str]  # ids of the recordings with warnings
    encoders: dict[str, dict[str, dict[str, Any]]]
    settings: dict[str, Any]
    made_by: str
    version: int
    size: int  # bytes


def _contents(shard: Shard) -> _Contents:
    """Read a shard's facts and close it again: a corpus can have more shards than a process may have files open."""
    ids = shard.ids
    infos, warned = [shard.info(id) for id in ids], [id for id in ids if _warnings(shard, id)]
    made_by = shard.made_by or "not stated"
    size = shard.nbytes
    found = _Contents(infos, warned, shard.encoders, shard.settings, made_by, shard.version, size)
    shard.close()
    return found


def _holding(shards: list[Shard], id: str, given: str | Path) -> Shard:
    """The shard that holds a recording; InputError with what may have been meant where none does."""
    ids: list[str] = []
    for shard in shards:
        found = shard.ids
        if id in found:
            return shard
        shard.close()
        ids += found
    near = [other for other in ids if id.lower() in other.lower()] or get_close_matches(id, ids, MOST_NAMES)
    instead = f"near it are {_some(near)}" if near else "wav2uti inspect without an id lists them"
    raise InputError(f"There is no recording {id!r} among the {len(ids)} in {given}; {instead}.")


def _corpus_facts(contents: list[_Contents], infos: list[RecordingInfo]) -> Facts:
    frames = sum(info.frames for info in infos)
    warned = [id for content in contents for id in content.warned]
    twice = [id for id, count in Counter(info.id for info in infos).items() if count > 1]
    size = decimal(sum(content.size for content in contents))
    encoders = {
        kind: [f"{name}, {about['width']} wide" for c in contents for name, about in c.encoders.get(kind, {}).items()]
        for kind in ("acoustic", "text")
    }
    return [
        *_simulated(sum(info.simulated for info in infos), len(infos)),
        ("shards", f"{len(contents)} ({size}), schema {SCHEMA} version {_distinct(str(c.version) for c in contents)}"),
        ("made by", _distinct(content.made_by for content in contents)),
        ("settings", _distinct(_plain(content.settings) for content in contents)),
        *((f"{kind} encoders", _distinct(names)) for kind, names in encoders.items()),
        ("recordings", f"{len(infos)}"),
        *([("stored twice", _some(twice))] if twice else []),
        (
            "length",
            f"{seconds_at(frames) / 3600:.2f} h ({seconds_at(frames):.1f} s, {frames} frames at {FPS} a second)",
        ),
        ("speakers", f"{len({info.speaker for info in infos})}: {_counted(info.speaker for info in infos)}"),
        ("tasks", _counted(info.task for info in infos)),
        ("languages", _counted(info.language for info in infos)),
        ("splits", _counted(info.split for info in infos)),
        ("frame sizes", _counted(_pixels(info) for info in infos)),
        ("with warnings", f"{len(warned)} of {len(infos)}: {_some(warned)}" if warned else "none"),
    ]


def _print_recordings(infos: list[RecordingInfo]) -> None:
    """A table of the first recordings; in a pipe each is one line, however long."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("id", "speaker", "task", "split", "seconds", "frames", "pixels", "text"):
        long, number = name in ("id", "speaker", "text"), name in ("seconds", "frames")
        table.add_column(name, no_wrap=not long, overflow="fold", justify="right" if number else "left")
    for info in infos[:MOST_ROWS]:
        length = f"{seconds_at(info.frames):.2f}", str(info.frames)
        cells = info.id, info.speaker, info.task, info.split, *length, _pixels(info), info.text
        table.add_row(*(Text(_line(cell)) for cell in cells))
    console = Console()
    if not console.is_terminal:
        console = Console(width=console.measure(table, options=console.options.update(width=100_000)).maximum)
    console.print(table)
    if len(infos) > MOST_ROWS:
        print(f"... {len(infos) - MOST_ROWS} more")


def _recording_facts(shard: Shard, id: str) -> Facts:
    info, contour = shard.info(id), shard.contour(id)
    quality, origin = shard.quality(id), shard.origin(id)
    sound = len(shard.audio(id)) / SAMPLE_RATE
    scale = "not stated" if info.mm_per_pixel is None else f"{info.mm_per_pixel:.4g} mm a pixel"
    return [
        *_simulated(int(info.simulated), 1),
        ("recording", id),
        ("shard", str(shard.path)),
        *((name, _line(str(getattr(info, name))) or "not stated") for name in ("speaker", "task", "text", "language")),
        *((name, _line(str(getattr(info, name))) or "not stated") for name in ("source", "split")),
        ("frames", f"{info.frames} of {_pixels(info)} pixels, {seconds_at(info.frames):.3f} s at {FPS} a second"),
        ("scale", scale),
        ("sound", f"{sound:.3f} s at {SAMPLE_RATE // 1000} kHz"),
        ("words", _intervals(shard.words(id))),
        ("phones", _intervals(shard.phones(id))),
        ("contour", "none" if contour is None else _contour(contour)),
        *_embeddings(shard, info),
        ("reference", "a frame of the speaker from outside the recording" if info.has_reference else "none"),
        *((f"quality, {_said(name)}", _plain(value)) for name, value in quality.items() if name != "warnings"),
        *(("warning", warning) for warning in _warnings(shard, id)),
        *((f"origin, {_said(name)}", _plain(value)) for name, value in origin.items() if name != "files"),
        *((f"file, {_said(role)}", _file(about)) for role, about in origin.get("files", {}).items()),
    ]


def _embeddings(shard: Shard, info: RecordingInfo) -> Facts:
    """Shapes of the embeddings. Of the acoustic ones, which can be large, only the last frame's are read."""
    last = info.frames - 1
    shapes = []
    for name in shard.encoders["acoustic"]:
        rest = shard.acoustic(info.id, name, last)
        shapes.append((f"acoustic, {name}", f"{last + len(rest)} frames x {rest.shape[1]}"))
    for name in shard.encoders["text"]:
        tokens = shard.text(info.id, name)
        shapes.append((f"text, {name}", f"{len(tokens)} tokens x {tokens.shape[1]}"))
    return shapes


def _file(about: dict[str, Any]) -> str:
    return f"{about.get('name')}, {about.get('bytes')} bytes, digest {about.get('digest')}"


def _contour(contour: NDArray[np.float32]) -> str:
    whole = int(np.isfinite(contour).all(axis=(1, 2)).sum())
    return f"{contour.shape[1]} points a frame" + ("" if whole == len(contour) else f", whole in {whole} frames")


def _intervals(intervals: tuple[Interval, ...]) -> str:
    if not intervals:
        return "none"
    return f"{len(intervals)}, from {min(i.start for i in intervals):.3f} s to {max(i.end for i in intervals):.3f} s"


def _warnings(shard: Shard, id: str) -> list[str]:
    return [str(warning) for warning in shard.quality(id).get("warnings", [])]


def _simulated(simulated: int, recordings: int) -> Facts:
    """A line that no one overlooks, where it is so."""
    if not simulated:
        return []
    return [("SIMULATED", "no person was recorded" if simulated == recordings else f"{simulated} of the recordings")]


def _pixels(info: RecordingInfo) -> str:
    return f"{info.size[1]} x {info.size[0]}"


def _counted(values: Iterable[str]) -> str:
    """Values with how often each is there, the most frequent first."""
    return ", ".join(f"{value or 'not stated'} ({count})" for value, count in Counter(values).most_common())


def _some(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _distinct(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values)) or "none"


def _plain(value: Any) -> str:
    """JSON in words."""
    if isinstance(value, dict):
        return ", ".join(f"{_said(name)} {_plain(entry)}" for name, entry in value.items()) or "none"
    if isinstance(value, list):
        return " ".join(map(_plain, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:.6g}" if isinstance(value, float) else _line(str(value))


def _said(name: str) -> str:
    return name.replace("_", " ")


def _line(text: str) -> str:
    return printable(" ".join(text.split()))


def _print_facts(facts: Facts) -> None:
    width = max(len(name) for name, _ in facts) + 2
    for name, value in facts:
        print(printable(f"{name + ':':<{width}}{value}"))
