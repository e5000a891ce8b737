"""`wav2uti prepare --dry-run`: everything is read and checked, nothing is written."""

import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from wav2uti.clock import seconds_at
from wav2uti.corpus.quality import corpus_warnings
from wav2uti.errors import InputError
from wav2uti.prepare.executors import Executor
from wav2uti.prepare.make import examine
from wav2uti.prepare.part import Report
from wav2uti.prepare.work import FromFiles

_WIDE = 200  # columns of the table where it goes into a file


def dry_run(works: Sequence[FromFiles], size: int, executor: Executor) -> None:
    """Read the recordings and print a table of them, what would be left out and why, and all warnings.

    Raises:
        InputError: none of them can be read.
    """
    reports: dict[str, Report] = {}
    errors: dict[str, InputError] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress, executor:
        bar = progress.add_task("Looking through", total=len(works))
        for work in works:
            executor.submit(work.id, examine, work, size)
        for outcome in executor.outcomes():
            if outcome.error is None:
                reports[outcome.key] = outcome.value
            else:
                errors[outcome.key] = outcome.error
            progress.advance(bar)
    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    made = [reports[work.id] for work in works if work.id in reports]
    if made:
        console.print(_table(made, {work.id: work.candidate.reader.name for work in works}))
        _sum_up(made, say)
    for report in made:
        for warning in report.warnings:
            say(f"Warning: {report.id}: {warning}.")
    for warning in corpus_warnings(made):
        say(f"Warning: {warning}.")
    for work in works:
        if work.id in errors:
            say(f"Would be left out: {work.id}: {errors[work.id]}")
    if not made:
        raise InputError(f"None of the {len(works)} recordings could be read; the lines above say why.")


def _table(reports: Sequence[Report], layouts: dict[str, str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("recording", "layout", "speaker", "task", "split"):
        table.add_column(heading, overflow="fold")
    for heading in ("seconds", "frames", "raw/s", "distinct/s", "sound Hz"):
        table.add_column(heading, justify="right")
    table.add_column("picture")
    table.add_column("text", overflow="ellipsis", no_wrap=True, max_width=40)
    for report in reports:
        quality = report.quality
        table.add_row(
            Text(report.id),
            layouts[report.id],
            Text(report.speaker),
            report.task,
            report.split,
            f"{seconds_at(report.frames):.2f}",
            str(report.frames),
            f"{quality['raw_rate']:.2f}",
            f"{quality['distinct_rate']:.2f}",
            str(report.sound_rate),
            report.kind,
            Text(report.text),
        )
    return table


def _sum_up(reports: Sequence[Report], say: "partial[None]") -> None:
    """Totals, and counts of what the table's columns hold."""
    frames = sum(report.frames for report in reports)
    say(f"{len(reports)} recordings, {seconds_at(frames) / 60:.1f} minutes, {frames} frames at 60 a second.")
    for title, field in (("Speakers", "speaker"), ("Tasks", "task"), ("Languages", "language"), ("Splits", "split")):
        counts = Counter(getattr(report, field) or "not known" for report in reports)
        say(f"{title}: " + ", ".join(f"{name} ({count})" for name, count in sorted(counts.items())))
