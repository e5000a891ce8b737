"""`MetricsLog`: the curves of a run as `metrics.csv`, also where the run is stopped and goes on."""

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from wav2uti.errors import InputError
from wav2uti.files import replaced


class MetricsLog(CSVLogger):
    """Lightning's `CSVLogger`, which keeps what it finds in the folder of a run that goes on.

    Lightning's own deletes it. Here the rows stay up to the step that the run goes on from; those after it, which are
    logged once more, are replaced.

    Args:
        save_dir: folder of all runs.
        name: folder of the runs of one config.
        version: folder of this run; null counts on from those that are there: version_0, version_1, ...
        flush_logs_every_n_steps: rows that a kill may cost; a checkpoint has all before it written.
    """

    def __init__(
        self,
        save_dir: str = "runs",
        name: str = "wav2uti",
        version: int | str | None = None,
        flush_logs_every_n_steps: int = 100,
    ) -> None:
        super().__init__(save_dir, name, version, flush_logs_every_n_steps=flush_logs_every_n_steps)
        self._file: MetricsFile | None = None

    @property
    def experiment(self) -> "MetricsFile":
        """The file."""
        if self._file is None:
            self._file = self._experiment = MetricsFile(self.log_dir, self._flush_logs_every_n_steps)
        return self._file

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Tensor | float], step: int | None = None) -> None:  # type: ignore[override]
        """Take what is logged at a step. Lightning's own would write a row before the rest of it has come."""
        self.experiment.log_metrics({name: float(value) for name, value in metrics.items()}, step)


class MetricsFile(ExperimentWriter):
    """The rows of `metrics.csv` in a folder."""

    def __init__(self, log_dir: str, together: int = 100) -> None:
        super().__init__(log_dir)
        self.together = together  # rows that are written at a time
        self.path = Path(self.metrics_file_path)
        self.columns: list[str] | None = None  # of the file; None before it was looked at
        self.last: dict[str, float] = {}  # the row that came last, written or not

    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        """Take a row; what comes for the step of the last row, and was not in it, joins it until it is written."""
        step = 0 if step is None else step
        if self.columns is None:
            self.columns = self._cut_off(step)
        row = {**metrics_dict, "step": step}
        if row.items() <= self.last.items():
            return  # logged twice: a checkpoint has the step before it logged at once
        if self.metrics and all(self.last.get(name, value) == value for name, value in row.items()):
            self.last.update(row)
        else:
            if len(self.metrics) >= self.together:
                self.save()
            self.last = row
            self.metrics.append(row)

    def save(self) -> None:
        """Write the rows that are not in the file yet.

        Raises:
            InputError: the folder or the disk refuses them.
        """
        if not self.metrics:
            return
        known = self.columns or []
        columns = sorted({*known, *(name for row in self.metrics for name in row)})
        if columns != known:
            self._write_anew([*_rows_of(self.path), *self.metrics], columns)
        else:
            try:
                with self.path.open("a", newline="", encoding="utf-8") as file:
                    csv.DictWriter(file, columns).writerows(self.metrics)
            except OSError as error:
                raise InputError(f"{self.path} cannot be written ({error.strerror}): free space.") from error
        self.columns, self.metrics = columns, []

    def _check_log_dir_exists(self) -> None:
        """Lightning's own deletes the file here."""

    def _cut_off(self, step: int) -> list[str]:
        """Take rows of this step and later ones away, which a run wrote after its last checkpoint; the columns left."""
        rows = _rows_of(self.path)
        if not rows:
            return []
        columns = sorted({name for row in rows for name in row})
        self._write_anew([row for row in rows if int(row["step"]) < step], columns)
        return columns

    def _write_anew(self, rows: list[dict[str, Any]], columns: list[str]) -> None:
        with replaced(self.path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)


def _rows_of(path: Path) -> list[dict[str, Any]]:
    """Rows of a file, without one that a kill left half written at its end; none where there is no file."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    rows = csv.DictReader(whole.splitlines())
    return [row for row in rows if row.get("step", "").isdecimal() and None not in row and None not in row.values()]
