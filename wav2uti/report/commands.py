"""The command `wav2uti report`: tables, figures and a page that compare tested runs."""

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from wav2uti.errors import InputError
from wav2uti.files import replaced
from wav2uti.report.clips import Clip, label, liveliest, matched
from wav2uti.report.curves import Losses, draw_curves, losses_of
from wav2uti.report.formats import csv_lines, latex, markdown
from wav2uti.report.page import Picture, page
from wav2uti.report.runs import Run, read_runs, read_samples
from wav2uti.report.tables import compared, data_of, tables
from wav2uti.report.videos import clip_groups, spoken_groups
from wav2uti.video.sheet import contact_sheet

COLUMNS = 8  # frames in a row of Fig. 2


def report(runs: list[Path], output: Path = Path("report"), names: str | None = None, paper: bool = False) -> None:
    """Compare tested runs: tables, Fig. 2, curves of training, and a page with videos.

    Writes tables.md, tables.tex, tables.csv, fig2.png, curves.png and report.html. The page holds everything and needs
    no network. Runs are the DNN, A or A+T of the paper by what their metrics.json says, or by --names.

    Args:
        runs: folders of runs that `wav2uti test` has scored, or their metrics.json.
        output: folder to write to.
        names: what to call the runs, in their order, separated by commas; by default DNN, A or A+T.
        paper: set the paper's printed figures beside these. Only you know whether the test set is the paper's, so say
            so only where it is; refused for simulated data.
    """
    given = [name.strip() for name in names.split(",")] if names else []
    if names and not all(given):
        raise InputError(f"--names {names} has an empty name: give one for each run, separated by commas.")
    found = read_runs(runs, given)
    simulated = [run.name for run in found if run.metrics.simulated]
    if paper and simulated:
        raise InputError(
            f"The paper's figures cannot stand beside {simulated[0]}, which was tested on simulated data: leave out "
            "--paper."
        )
    kept = {number: samples for number, run in enumerate(found) if (samples := read_samples(run)) is not None}
    losses = [losses_of(run) for run in found]
    clips, warned = matched(found, kept)
    warned = _doubts(found) + warned
    made = tables(found, paper)
    _write(output / "tables.md", markdown(made))
    _write(output / "tables.tex", latex(made))
    _write(output / "tables.csv", csv_lines(found, paper))
    pictures = [*_fig_2(output / "fig2.png", found, clips), *_curves(output / "curves.png", found, losses)]
    shown, left_out = clip_groups(clips)
    spoken, doubts = spoken_groups(found)
    warned += [*([left_out] if left_out else []), *doubts]
    date = datetime.now(UTC).date().isoformat()
    _write(output / "report.html", page(found, made, pictures, shown, spoken, warned, date))
    for warning in warned:
        warnings.warn(warning, UserWarning, stacklevel=2)
    print(f"Runs {len(found)}, clips {len(shown)}, recordings with sound {len(spoken)}: {output / 'report.html'}")


def _doubts(runs: Sequence[Run]) -> list[str]:
    """Sentences about what cannot be compared, and about runs of no known model."""
    sentences = [sentence for found in compared(runs).values() for sentence in found]
    return sentences + [
        f"{run.path} does not say which model of the paper it is, so Table 2 leaves it out: name it DNN, A or A+T with "
        "--names."
        for run in runs
        if run.model is None
    ]


def _fig_2(path: Path, runs: Sequence[Run], clips: Sequence[Clip]) -> list[Picture]:
    """Fig. 2 of the paper: rows real and the runs, columns evenly spaced frames of one clip."""
    if not clips:
        return _none(path)
    clip = liveliest(clips)
    rows = clip.rows
    title = f"{clip.recording}, {data_of(runs)}"
    contact_sheet(path, rows, title=title, columns=COLUMNS)
    caption = (
        f"Evenly spaced frames of one clip of {clip.recording} ({data_of(runs)}). Of the clips that all runs kept it "
        "is the one whose real frames move most; what was generated had no part in the choice."
    )
    alt = f"Ultrasound frames of the tongue in rows, from the top: {', '.join(name for name, _ in rows)}."
    return [Picture("Fig. 2: the same clip by every run", caption, alt, path.read_bytes())]


def _curves(path: Path, runs: Sequence[Run], losses: Sequence[Losses]) -> list[Picture]:
    """The losses of the runs that logged them."""
    logged = [(run, found) for run, found in zip(runs, losses, strict=True) if found]
    if not logged:
        return _none(path)
    said = draw_curves(path, [run for run, _ in logged], [found for _, found in logged])
    several = len({run.metrics.resolution for run in runs}) > 1
    without = [label(run, several) for run, found in zip(runs, losses, strict=True) if not found]
    caption = "Losses by step of training, each panel on a scale of its own: they do not compare between models." + (
        f" No metrics.csv with losses: {', '.join(without)}." if without else ""
    )
    return [Picture("Training", caption, "Curves of training. " + "; ".join(said) + ".", path.read_bytes())]


def _none(path: Path) -> list[Picture]:
    """No picture, and none of an earlier report left to be taken for one."""
    path.unlink(missing_ok=True)
    return []


def _write(path: Path, text: str) -> None:
    with replaced(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
