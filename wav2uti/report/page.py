"""`report.html`: one page that needs no network, with tables, pictures and videos inside."""

import html
from collections.abc import Sequence
from typing import NamedTuple

from wav2uti.names import printable
from wav2uti.report.formats import html_table
from wav2uti.report.runs import Run
from wav2uti.report.style import SCRIPT, STYLE
from wav2uti.report.tables import Table, data, size_of
from wav2uti.report.videos import Group, Video, address

SLOW_BELOW = 1.0  # seconds: a shorter clip begins in slow motion, or there would be nothing to see


class Picture(NamedTuple):
    """A picture and its words."""

    title: str
    caption: str
    alt: str
    png: bytes


def page(
    runs: Sequence[Run],
    tables: Sequence[Table],
    pictures: Sequence[Picture],
    clips: Sequence[Group],
    spoken: Sequence[Group],
    warnings: Sequence[str],
    date: str,
) -> str:
    """The page as HTML. Whatever comes from outside is escaped."""
    kinds = {data(run.metrics) for run in runs}
    banner = (
        '<p class="banner"><strong>SIMULATED data.</strong> '
        + ("All" if kinds == {"SIMULATED"} else "Some")
        + " of these runs were tested on simulated ultrasound: their scores say nothing of real tongues.</p>"
        if "SIMULATED" in kinds
        else ""
    )
    warned = "".join(f"<li>{html.escape(printable(warning))}</li>" for warning in warnings)
    sections = [
        _section("Scores", "".join(map(html_table, tables))),
        *(_section(picture.title, _figure(picture)) for picture in pictures),
    ]
    if clips:
        about = (
            "<p>Clips of the test set, real and generated. They loop without sound; “Play all” starts those of a row "
            "together.</p>"
        )
        sections.append(_section("Clips side by side", about + "".join(_group(group, False) for group in clips)))
    if spoken:
        about = "<p>Whole recordings of which every run has a prediction. “Play all” gives the sound of the first.</p>"
        sections.append(_section("With sound", about + "".join(_group(group, True) for group in spoken)))
    sections.append(_section("Runs", _run_list(runs)))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; media-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>Speech to ultrasound tongue imaging: report</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>Speech to ultrasound tongue imaging</h1>
<p>{len(runs)} {"run" if len(runs) == 1 else "runs"} compared: {html.escape(", ".join(run.name for run in runs))}. \
Made by wav2uti, {html.escape(date)}.</p>
{banner}
{f'<ul class="warnings" aria-label="Warnings">{warned}</ul>' if warned else ""}
</header>
<main>
{"".join(sections)}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{html.escape(title)}</h2>\n{content}</section>\n"


def _figure(picture: Picture) -> str:
    alt = html.escape(picture.alt)
    return (
        f'<figure><div class="scroll" tabindex="0" role="region" aria-label="{html.escape(picture.title)}">'
        f'<img src="{address("image/png", picture.png)}" alt="{alt}"></div>'
        f"<figcaption>{html.escape(picture.caption)}</figcaption></figure>\n"
    )


def _group(group: Group, sound: bool) -> str:
    """Videos side by side with the buttons that move them together."""
    slow = group.seconds < SLOW_BELOW and not sound
    videos = "".join(_video(video, group.title, sound) for video in group.videos)
    return (
        f'<article class="group"{" data-sound" if sound else ""}>\n'
        f"<h3>{html.escape(group.title)} <small>{group.seconds:.2f} s</small></h3>\n"
        '<p class="buttons"><button type="button" class="play">Play all</button> '
        f'<button type="button" class="slow" aria-pressed="{str(slow).lower()}">Slow motion (¼)</button></p>\n'
        f'<div class="videos">{videos}</div>\n</article>\n'
    )


def _video(video: Video, place: str, sound: bool) -> str:
    said = html.escape(f"Ultrasound of the tongue, {video.label}: {place}")
    return (
        f'<figure><video controls playsinline loop{"" if sound else " muted"} preload="metadata" aria-label="{said}" '
        f'poster="{address("image/png", video.poster)}" src="{address("video/mp4", video.mp4)}"></video>'
        f"<figcaption>{html.escape(video.label)}</figcaption></figure>"
    )


def _run_list(runs: Sequence[Run]) -> str:
    """Where each run lies and how it was made."""
    items = []
    for run in runs:
        m = run.metrics
        facts = {"folder": printable(str(run.folder)), "resolution": size_of(m), "data": data(m)}
        facts |= {name: str(value) for name, value in m.task.items()}
        facts |= m.origin | {f"weights of {name}": sha for name, sha in m.weights.items()}
        rows = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items())
        items.append(f"<details><summary>{html.escape(run.name)}, {size_of(m)}</summary><dl>{rows}</dl></details>")
    return "".join(items) + "\n"
