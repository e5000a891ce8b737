"""Pieces of HTML that the page is made of; whatever comes from outside is escaped."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from wav2uti.app.job import VIDEOS, Drawn
from wav2uti.app.models import Wants
from wav2uti.app.worker import Told, Waiting, Working
from wav2uti.names import printable

# What each kind of result is, in the words of who will open it.
FILES = {
    "video": "the tongue with the sound",
    "spread": "mean of the samples, and how far they differ",
    "truth": "the recording's own video",
    "sheet": "contact sheet: frames under waveform and spectrogram",
    "frames": "frames and contour as numbers, for numpy",
    "contour": "the tongue's contour by frame, in pixels",
    "splines": "the contour as AAA exports it, in mm",
    "textgrid": "words and phones for Praat",
}
SIMULATED = (
    "<strong>SIMULATED.</strong> This model has seen simulated tongues only. What it draws shows how the page works; "
    "it is no evidence about anybody's speech."
)


@dataclass(frozen=True)
class Column:
    """One model's drawing on the page.

    Attributes:
        title: the model.
        place: address of the folder of its files.
        folder: of its files.
        drawn: what came of it.
    """

    title: str
    place: str
    folder: Path
    drawn: Drawn


def refusal(sentence: str) -> str:
    """What went wrong, in one sentence."""
    return f'<p class="uti-note uti-wrong" role="alert">{escape(printable(sentence))}</p>'


def note(sentence: str) -> str:
    """What the user may want to know."""
    return f'<p class="uti-note" role="status">{escape(printable(sentence))}</p>'


def banner(simulated: bool) -> str:
    """The word SIMULATED where a model is of simulated data; else nothing."""
    return f'<p class="uti-note uti-simulated">{SIMULATED}</p>' if simulated else ""


def progress(told: Told, title: str, seconds: float, share: tuple[int, int] = (0, 1)) -> str:
    """How far a drawing is.

    Args:
        told: by the worker.
        title: of the model that draws.
        seconds: since its turn began.
        share: which of how many models draws.
    """
    done = 0.0
    match told:
        case Waiting(before=before):
            words = f"Waiting: {before} {'job comes' if before == 1 else 'jobs come'} before yours."
        case Working(done=steps, total=total) if total and steps < total:
            done = steps / total
            left = seconds / steps * (total - steps) if steps else None
            words = f"Drawing with {title}: {100 * done:.0f} %" + (
                "" if left is None else f", about {max(left, 1):.0f} s left"
            )
        case Working(total=total) if total:
            done, words = 1.0, "Following the contour and writing the files."
        case _:
            words = "Loading the model and listening to the recording."
    number, of = share
    percent = 100 * (number + done) / of
    return (
        f'<div class="uti-note" role="status"><span>{escape(printable(words))}</span>'
        f'<progress max="100" value="{percent:.1f}" aria-label="Progress"></progress></div>'
    )


def player(columns: Sequence[Column]) -> str:
    """The videos over the waveform and the spectrogram; `player.js` makes it live."""
    views = [column.drawn.view for column in columns]
    play = {
        "fps": views[0].fps,
        "frames": min(view.frames for view in views),
        "wave": views[0].wave,
        "spectrogram": f"{columns[0].place}/{quote(views[0].spectrogram)}",
        "columns": [
            {
                "title": printable(column.title) + (" · SIMULATED" if column.drawn.view.simulated else ""),
                "contour": f"{column.place}/{quote(column.drawn.view.contour)}",
                "videos": [
                    {
                        "kind": kind,
                        "label": VIDEOS[kind],
                        "src": f"{column.place}/{quote(name)}",
                        "width": _width(kind, column.drawn.view.size[1]),
                    }
                    for kind, name in column.drawn.view.videos.items()
                ],
            }
            for column in columns
        ],
    }
    return f'<uti-player data-play="{escape(json.dumps(play))}"></uti-player>'


def downloads(columns: Sequence[Column], archive: str) -> str:
    """Links to all files."""
    groups = "".join(_group(column, len(columns) > 1) for column in columns)
    return (
        f'<section class="uti-files"><h3>Download</h3><p><a class="uti-all" download href="{archive}">'
        f"Everything (zip)</a></p>{groups}</section>"
    )


def facts(columns: Sequence[Column], told: Mapping[str, str]) -> str:
    """How it was made."""
    rows = dict(told)
    for column in columns:
        view = column.drawn.view
        rows[column.title] = (
            f"{view.size[1]} × {view.size[0]} pixels, {view.fps} frames a second, {view.frames} frames, "
            f"made in {column.drawn.seconds:.1f} s"
        )
    items = "".join(f"<dt>{escape(printable(k))}</dt><dd>{escape(printable(v))}</dd>" for k, v in rows.items())
    pictures = "".join(
        f'<figure><img src="{column.place}/{quote(reference)}" alt="Reference frame"><figcaption>Reference frame, as '
        "the model was shown it</figcaption></figure>"
        for column in columns[:1]
        if (reference := column.drawn.view.reference)
    )
    return f'<section class="uti-facts"><dl>{items}</dl>{pictures}</section>'


def about(wants: Wants) -> str:
    """What a model is, under its name."""
    hears = "sound" + (" and text" if wants.text else "") + (", with a reference frame" if wants.reference else "")
    size = f"{wants.size} × {wants.size} pixels"
    return f'{banner(wants.simulated)}<p class="uti-about">Draws from {hears}; {size}, 60 frames a second.</p>'


def _width(kind: str, width: int) -> int:
    """Of the pictures in a video, in pixels of frames of this width: mean and spread stand side by side, 2 apart."""
    return 2 * width + 2 if kind == "spread" else width


def _group(column: Column, named: bool) -> str:
    heading = f"<h4>{escape(printable(column.title))}</h4>" if named else ""
    items = ""
    for kind, name in column.drawn.files.items():
        path = column.folder / name
        if not path.is_file():
            continue
        size = path.stat().st_size
        items += (
            f'<li><a download href="{column.place}/{quote(name)}">{escape(printable(name))}</a> '
            f"<span>{escape(FILES.get(kind, kind))}, {_size(size)}</span></li>"
        )
    return f"{heading}<ul>{items}</ul>"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(count / 1e3, 0.1):.1f} kB"
