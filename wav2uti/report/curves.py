"""Losses over the steps of training, from the `metrics.csv` that Lightning's CSVLogger writes."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from wav2uti.errors import InputError
from wav2uti.files import content_of, replaced
from wav2uti.names import printable
from wav2uti.report.clips import label
from wav2uti.report.runs import Run

Losses = dict[str, tuple[list[int], list[float]]]  # by column: steps and values

_COLOURS = {"train": "#0072b2", "val": "#d55e00"}  # blue and vermilion of Okabe and Ito
MOST_BYTES = 1 << 28  # of a metrics.csv: two million steps
_LARGEST = 1.0e30
_WINDOW = 25  # losses of steps averaged into the strong line, where there are many


def losses_of(run: Run) -> Losses:
    """The losses beside the scores, or else beside the checkpoint that was tested, where that still is."""
    losses = read_losses(run.folder / "metrics.csv")
    if not losses and (checkpoint := run.metrics.origin.get("checkpoint")):
        losses = read_losses(Path(checkpoint).parent.parent / "metrics.csv")
    return losses


def read_losses(path: Path) -> Losses:
    """The columns `train/...` and `val/...` with "loss" in their name; empty where there is no such file.

    Raises:
        InputError: the file is damaged.
    """
    losses: Losses = {}
    if not os.path.exists(path):  # noqa: PTH110 (never raises)
        return {}
    content = content_of(path, MOST_BYTES)
    try:
        with io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                for name, text in row.items():
                    # A logger writes train and val on lines of their own and leaves the other's cells empty.
                    if name and text and name.split("/")[0] in _COLOURS and "loss" in name:
                        steps, values = losses.setdefault(printable(name), ([], []))
                        step, value = int(float(row["step"])), float(text)
                        # Beyond single precision nothing is a loss, and nothing can be drawn.
                        if abs(value) < _LARGEST and 0 <= step < _LARGEST:
                            steps.append(step)
                            values.append(value)
    except (ValueError, OverflowError, KeyError, TypeError, csv.Error) as error:
        raise InputError(
            f"{path} is not a table of losses by step ({str(error)[:200]}): repair or remove it."
        ) from error
    return {name: found for name, found in losses.items() if found[0]}


def draw_curves(path: Path, runs: Sequence[Run], losses: Sequence[Losses]) -> list[str]:
    """Write a PNG with one panel a run: the losses of different models are not of one scale.

    Args:
        path: the .png file.
        runs: those with losses.
        losses: of each of them.

    Returns:
        What each panel shows, in words.
    """
    columns = min(3, len(runs))
    lines = -(-len(runs) // columns)
    figure = Figure(figsize=(4.2 * columns, 3 * lines), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, columns, squeeze=False).flat
    several = len({run.metrics.resolution for run in runs}) > 1
    said = []
    for panel, run, found in zip(panels, runs, losses, strict=False):
        for name, (steps, values) in found.items():
            colour = _COLOURS[name.split("/")[0]]
            many = len(values) > 4 * _WINDOW
            panel.plot(steps, values, color=colour, alpha=0.25 if many else 1, lw=0.8, label=None if many else name)
            if many:
                mean = np.convolve(values, np.full(_WINDOW, 1 / _WINDOW), "valid")
                panel.plot(steps[_WINDOW - 1 :], mean, color=colour, lw=1.6, label=f"{name}, mean of {_WINDOW}")
            if len(values) < 40:
                panel.plot(steps, values, ".", color=colour)
        if min(min(values) for _, values in found.values()) > 0:
            panel.set_yscale("log")
        panel.set_title(label(run, several), fontsize=11, parse_math=False)
        panel.set_xlabel("step")
        panel.set_ylabel("loss")
        panel.grid(True, which="major", color="#dddddd", lw=0.6)
        for text in panel.legend(fontsize=8, frameon=False).get_texts():
            text.set_parse_math(False)  # a dollar sign would begin a formula
        said.append(
            f"{label(run, several)}: "
            + ", ".join(f"{n} from {v[0]:.3g} to {v[-1]:.3g} at step {s[-1]}" for n, (s, v) in found.items())
        )
    for panel in list(figure.axes)[len(runs) :]:
        panel.set_axis_off()
    with replaced(path) as part:
        figure.savefig(part, format="png")
    return said
