"""Tables as Markdown, LaTeX and HTML, and every score as CSV. Names from outside are escaped in each."""

import csv
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

from wav2uti.names import printable
from wav2uti.report.runs import Run
from wav2uti.report.scores import PAPER, SCORES
from wav2uti.report.tables import Cell, Table, data, why_missing

_FACTS = ["model", "name", "source", "data", "height", "width", "frames_per_clip", "frame_rate", "frame_step"]
_CSV = [*_FACTS, "clips", "recordings", "speakers", "score", "value", "low", "high", "reason", "run"]
_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "–": "--",
    "\n": " ",
} | {sign: f"\\{sign}" for sign in "&%$#_{}"}
_MARKDOWN = {sign: f"\\{sign}" for sign in "\\`*_{}[]|#~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;", "\n": " "}


def markdown(tables: Sequence[Table]) -> str:
    """GitHub's tables, notes as a list below each."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    def cell(cell: Cell) -> str:
        marks = f"<sup>{', '.join(map(str, cell.notes))}</sup>" if cell.notes else ""
        return f"{_escaped(cell.text, _MARKDOWN)} {cell.interval}".strip() + marks

    lines = [f"### {_escaped(table.title, _MARKDOWN)}", ""]
    lines.append("| " + " | ".join(_escaped(column, _MARKDOWN) for column in table.columns) + " |")
    lines.append("|" + "---|" * len(table.columns))
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in table.rows]
    lines += ["", _escaped(" ".join(table.remarks), _MARKDOWN), ""]
    lines += [f"{number}. {_escaped(note, _MARKDOWN)}" for number, note in enumerate(table.notes, 1)]
    return "\n".join(lines).rstrip() + "\n"


def latex(tables: Sequence[Table]) -> str:
    """`table*` environments with booktabs, shrunk to the width of the text; needs booktabs and graphicx."""
    head = "% \\usepackage{booktabs,graphicx}; names in other than Latin letters need XeLaTeX or LuaLaTeX.\n"
    return head + "\n".join(map(_latex, tables))


def _latex(table: Table) -> str:
    def cell(cell: Cell) -> str:
        interval = f" {{\\scriptsize {{{cell.interval}}}}}" if cell.interval else ""
        marks = f"$^{{{','.join(map(str, cell.notes))}}}$" if cell.notes else ""
        return _escaped(cell.text, _TEX) + interval + marks

    def row(cells: Sequence[str]) -> str:
        # Braces: a row that begins with a bracket would be read as an option of the line break before it.
        return "  " + " & ".join(f"{{{text}}}" for text in cells) + r" \\"

    notes = [_escaped(remark, _TEX) for remark in table.remarks]
    notes += [f"$^{{{n}}}$ {_escaped(note, _TEX)}" for n, note in enumerate(table.notes, 1)]
    return "\n".join(
        [
            r"\begin{table*}[t]",
            r"\centering",
            f"\\caption{{{_escaped(table.title.partition(': ')[2], _TEX)}}}",
            r"\resizebox{\textwidth}{!}{%",
            f"\\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"  \toprule",
            row([_escaped(column, _TEX) for column in table.columns]),
            r"  \midrule",
            *(row([cell(c) for c in cells]) for cells in table.rows),
            r"  \bottomrule",
            r"\end{tabular}}",
            *([r"\par\smallskip\footnotesize\raggedright", " ".join(notes)] if notes else []),
            r"\end{table*}",
            "",
        ]
    )


def html_table(table: Table) -> str:
    """A `<figure>` whose table scrolls sideways where the screen is narrow."""

    def cell(cell: Cell, tag: str) -> str:
        interval = f' <span class="interval">{html.escape(cell.interval)}</span>' if cell.interval else ""
        marks = f"<sup>{', '.join(map(str, cell.notes))}</sup>" if cell.notes else ""
        scope = ' scope="row"' if tag == "th" else ""
        return f"<{tag}{scope}>{html.escape(cell.text)}{interval}{marks}</{tag}>"

    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in table.columns)
    rows = "\n".join(
        "<tr>" + "".join(cell(c, "td" if place else "th") for place, c in enumerate(row)) + "</tr>"
        for row in table.rows
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    title, remarks = html.escape(table.title), html.escape(" ".join(table.remarks))
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">\n<table>\n<caption>{title}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>\n"
        + (f'<p class="notes">{remarks}</p>\n' if remarks else "")
        + (f'<ol class="notes">{notes}</ol>\n' if notes else "")
    )


def csv_lines(runs: Sequence[Run], paper: bool = False) -> str:
    """One line for each score of each run, unrounded, for programs to read."""
    file = io.StringIO()
    writer = csv.DictWriter(file, _CSV, lineterminator="\n")
    writer.writeheader()
    for run in runs:
        m = run.metrics
        height, width = m.resolution
        facts = {
            "model": run.model or "",
            "name": run.name,
            "source": "measured",
            "data": data(m),
            "height": height,
            "width": width,
            "frames_per_clip": m.frames_per_clip,
            "frame_rate": m.frame_rate,
            "frame_step": m.frame_step,
            "clips": m.clips,
            "recordings": m.recordings,
            "speakers": m.speakers,
            "run": printable(str(run.path)),
        }
        for name in dict.fromkeys((*SCORES, *m.scores, *m.missing)):
            if name in m.scores:
                low, high = m.intervals.get(name, ("", ""))
                writer.writerow(
                    _no_formulas(facts | {"score": name, "value": m.scores[name], "low": low, "high": high})
                )
            elif name in m.missing:
                writer.writerow(_no_formulas(facts | {"score": name, "reason": why_missing(m, name)}))
        for name, level in m.levels.items():
            writer.writerow(_no_formulas(facts | {"score": name, "value": level, "source": "level"}))
    sizes = {run.metrics.resolution for run in runs}
    for (model, side), values in PAPER.items() if paper else ():
        if (side, side) in sizes:
            facts = {"model": model, "name": model, "source": "paper", "data": "recorded"}
            facts |= {"height": str(side), "width": str(side)}
            for name, value in values.items():
                writer.writerow(_no_formulas(facts | {"score": name, "value": value}))
    return file.getvalue()


def _no_formulas(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row in which an apostrophe stands before texts that a spreadsheet would take for a formula, and run."""

    def plain(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value

    return {name: plain(value) for name, value in row.items()}


def _escaped(text: str, signs: dict[str, str]) -> str:
    return "".join(signs.get(sign, sign) for sign in text)
