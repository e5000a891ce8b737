"""The paper's Tables 1 and 2 and one of all scores, from what `wav2uti test` measured."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from wav2uti.report.runs import Metrics, Run
from wav2uti.report.scores import LEVELS, PAPER, PAPER_NOTES, SCORES, TRACKED, WRAPPED, shown

DASH = "–"
_PLACE = ("n: clips / recordings", "resolution", "frames a clip", "frames / s", "frame step")


class Cell(NamedTuple):
    """What stands in a cell."""

    text: str
    interval: str = ""  # "[low, high]"
    notes: tuple[int, ...] = ()  # numbers of the table's notes, from 1


@dataclass
class Table:
    """A table, in no format yet. The first column names the rows."""

    title: str
    columns: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # which cells name by number
    remarks: list[str] = field(default_factory=list)  # on the whole table

    def note(self, sentence: str) -> int:
        """The number of a note; one that is there already is used again."""
        if sentence not in self.notes:
            self.notes.append(sentence)
        return self.notes.index(sentence) + 1

    def remark(self, sentence: str) -> None:
        """Add a remark, once."""
        if sentence not in self.remarks:
            self.remarks.append(sentence)


def tables(runs: Sequence[Run], paper: bool = False) -> list[Table]:
    """Table 1 for each resolution, Table 2 where there are diffusion models, and Table 3 with all scores.

    Args:
        runs: in the order in which they are to stand.
        paper: set the paper's printed figures beside them.
    """
    core = _core(runs, paper)
    sizes = sorted({run.metrics.resolution for run in runs})
    made = [_table_1([run for run in runs if run.metrics.resolution == size], core, paper) for size in sizes]
    if any(run.model in ("A", "A+T") for run in runs):
        made.append(_table_2(runs, sizes, core, paper))
    return [*made, _table_3(runs)]


def _core(runs: Sequence[Run], paper: bool) -> list[str]:
    """The scores of Tables 1 and 2: the paper's and those that say what its figures cannot."""
    known = {name for run in runs for name in run.metrics.scores}
    contour = [name for name in ("contour_mm_centred", "contour_px_centred") if name in known]
    return ["rmse", "psnr", "ssim", "lpips_squeeze", "fid", "fvd", *contour, *(WRAPPED if paper else ())]


def _table_1(runs: Sequence[Run], core: Sequence[str], paper: bool) -> Table:
    """Models at one resolution."""
    metrics = runs[0].metrics
    table = Table(
        f"Table 1: models at {size_of(metrics)} – {data_of(runs)}",
        ["model", "data", *(SCORES[name].heading for name in core), *_PLACE],
    )
    differences = compared(runs)
    for run in runs:
        marks = tuple(table.note(sentence) for sentence in differences.get(run.path, ()))
        scores = [_score(table, run, name) for name in core]
        table.rows.append([Cell(run.name, notes=marks), Cell(data(run.metrics)), *scores, *_place(run.metrics)])
        printed = PAPER.get((run.model or "", _side(run.metrics))) if paper else None
        # Once for each model: after the last of its runs.
        if printed and run is [other for other in runs if other.model == run.model][-1]:
            table.rows.append(
                [
                    Cell(f"{run.model}, in the paper", notes=_paper_notes(table)),
                    Cell("recorded"),
                    *(_printed(printed, name) for name in core),
                    Cell(DASH),
                    Cell(size_of(run.metrics)),
                    *(Cell(DASH) for _ in _PLACE[2:]),
                ]
            )
    return table


def _table_2(runs: Sequence[Run], sizes: Sequence[tuple[int, int]], core: Sequence[str], paper: bool) -> Table:
    """Resolutions by A and A+T; where a model was run several times at a resolution, a row for each."""
    names = [name for name in core if not name.startswith("contour")]
    wanted = [run for run in runs if run.model in ("A", "A+T")]
    table = Table(
        f"Table 2: resolutions – {data_of(wanted)}",
        ["resolution"]
        + [f"{model}: {heading}" for model in ("A", "A+T") for heading in (*(SCORES[n].heading for n in names), "n")],
    )
    differences = compared(wanted)
    for size in sizes:
        columns = [
            [run for run in wanted if run.model == model and run.metrics.resolution == size] for model in ("A", "A+T")
        ]
        for row in range(max(map(len, columns))):
            cells = [Cell(f"{size[0]}×{size[1]}")]
            for column in columns:
                if row >= len(column):
                    cells += [Cell(DASH)] * (len(names) + 1)
                    continue
                run = column[row]
                marks = [table.note(sentence) for sentence in differences.get(run.path, ())]
                if len(column) > 1:
                    marks.append(table.note(f"This row's {run.model} is {run.name}."))
                n = _place(run.metrics)[0]
                cells += [*(_score(table, run, name) for name in names), n._replace(notes=tuple(marks))]
            table.rows.append(cells)
        printed = [PAPER.get((model, size[0])) if size[0] == size[1] else None for model in ("A", "A+T")]
        if paper and any(printed) and any(columns):
            cells = [Cell(f"{size[0]}×{size[1]}, in the paper", notes=_paper_notes(table))]
            for values in printed:
                cells += [*(_printed(values or {}, name) for name in names), Cell(DASH)]
            table.rows.append(cells)
    table.remark(f"n is clips / recordings; {_cut(wanted[0].metrics)}.")
    return table


def _table_3(runs: Sequence[Run]) -> Table:
    """Every score that any run has or lacks, one a row, with the levels to compare with."""
    found = [name for run in runs for name in (*run.metrics.scores, *run.metrics.missing)]
    names = sorted(dict.fromkeys(n for n in found if n not in TRACKED), key=_order)
    levels = dict.fromkeys(name for run in runs for name in run.metrics.levels)
    several = len({run.metrics.resolution for run in runs}) > 1
    headings = [f"{run.name}, {size_of(run.metrics)}" if several else run.name for run in runs]
    table = Table(f"Table 3: all scores – {data_of(runs)}", ["score", *headings, "what it is"])
    for name in names:
        cells = [_score(table, run, name) for run in runs]
        table.rows.append([Cell(shown(name).heading), *cells, Cell(shown(name).about)])
    for name in sorted(levels, key=_order):
        level = [run.metrics.levels.get(name) for run in runs]
        values = [Cell(DASH if value is None else f"{value:.{shown(name).digits}f}") for value in level]
        table.rows.append([Cell(shown(name).heading), *values, Cell(shown(name).about)])
    for place, heading in enumerate(("data", *_PLACE)):
        cells = [(Cell(data(run.metrics)), *_place(run.metrics))[place] for run in runs]
        table.rows.append([Cell(heading), *cells, Cell("")])
    return table


def compared(runs: Sequence[Run]) -> dict[Path, list[str]]:
    """By `Run.path`, why the scores of a run cannot be compared with those of the first run."""
    found: dict[Path, list[str]] = {}
    for run in runs[1:]:
        one, other = runs[0].metrics, run.metrics
        name, first = (_named(r, runs) for r in (run, runs[0]))
        tests = [_test_set(m) for m in (other, one)]
        if tests[0] != tests[1]:
            why = f"{name} was tested on {tests[0]}, {first} on {tests[1]}: their scores cannot be compared."
        elif one.ids and other.ids and one.ids != other.ids:
            why = f"{name} was tested on other recordings than {first}: their scores cannot be compared."
        else:
            why = ""
        weights = [key for key in sorted(one.weights) if other.weights.get(key, one.weights[key]) != one.weights[key]]
        networks = [f"{name} was scored with other weights of {key} than {first}." for key in weights]
        if why or networks:
            found[run.path] = [why, *networks] if why else networks
    return found


def data(metrics: Metrics) -> str:
    """Whether the corpus is simulated."""
    return {True: "SIMULATED", False: "recorded", None: "not stated"}[metrics.simulated]


def data_of(runs: Iterable[Run]) -> str:
    """The same for several runs, in a title."""
    kinds = sorted({data(run.metrics) for run in runs})
    return " and ".join("origin of the data not stated" if kind == "not stated" else f"{kind} data" for kind in kinds)


def size_of(metrics: Metrics) -> str:
    """Height and width."""
    return "×".join(map(str, metrics.resolution))


def why_missing(metrics: Metrics, name: str) -> str:
    """Why a run has no such score."""
    reasons = metrics.missing
    tracked = reasons.get("contour") if name.startswith(TRACKED) else None
    return reasons.get(name) or tracked or "This run was not scored so."


def _named(run: Run, runs: Sequence[Run]) -> str:
    """Its name, with the resolution where the runs have several."""
    several = len({other.metrics.resolution for other in runs}) > 1
    return f"{run.name} at {size_of(run.metrics)}" if several else run.name


def _test_set(metrics: Metrics) -> str:
    """What a score depends on, besides the model and the resolution."""
    counts = f"{_or_dash(metrics.clips)} clips of {_or_dash(metrics.recordings)} recordings"
    return f"{counts} ({data(metrics)} data, {_cut(metrics)})"


def _cut(metrics: Metrics) -> str:
    rate = DASH if metrics.frame_rate is None else f"{metrics.frame_rate:g}"
    step = "" if metrics.frame_step is None else f", step {metrics.frame_step}"
    return f"{_or_dash(metrics.frames_per_clip)} frames a clip at {rate} a second{step}"


def _score(table: Table, run: Run, name: str) -> Cell:
    """A score with its interval, or a dash with the reason."""
    value, digits = run.metrics.scores.get(name), shown(name).digits
    if value is None:
        heading, why = shown(name).heading.rstrip(" ↓↑"), why_missing(run.metrics, name)
        sentence = why if heading.lower() in why.lower() else f"{heading}: {why}"
        return Cell(DASH, notes=(table.note(sentence),))
    if name not in run.metrics.intervals:
        return Cell(f"{value:.{digits}f}", notes=(table.note("No interval: the run does not state one."),))
    low, high = run.metrics.intervals[name]
    table.remark("In brackets: 95 % interval over the recordings of the test set.")
    return Cell(f"{value:.{digits}f}", f"[{low:.{digits}f}, {high:.{digits}f}]")


def _printed(values: dict[str, float], name: str) -> Cell:
    """A figure of the paper, with the digits it has there."""
    return Cell(f"{values[name]:.{2 if name == 'fvd' else 4}f}" if name in values else DASH)


def _paper_notes(table: Table) -> tuple[int, ...]:
    return tuple(table.note(sentence) for sentence in PAPER_NOTES)


def _place(metrics: Metrics) -> list[Cell]:
    """The columns `_PLACE`."""
    rate = DASH if metrics.frame_rate is None else f"{metrics.frame_rate:g}"
    counts = f"{_or_dash(metrics.clips)} / {_or_dash(metrics.recordings)}"
    cut = [_or_dash(metrics.frames_per_clip), rate, _or_dash(metrics.frame_step)]
    return [Cell(text) for text in (counts, size_of(metrics), *cut)]


def _or_dash(count: int | None) -> str:
    return DASH if count is None else str(count)


def _side(metrics: Metrics) -> int:
    """Side of a square frame, else 0."""
    height, width = metrics.resolution
    return height if height == width else 0


def _order(name: str) -> tuple[int, str]:
    """Scores in the order of `SCORES`, others behind them by name."""
    known = [*SCORES, *LEVELS]
    return (known.index(name) if name in known else len(known), name)
