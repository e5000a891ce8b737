"""`MetricsLog`: the curves of a run as `metrics.csv`, also where the run is stopped and goes on."""

import csv
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from wav2uti.errors import InputError
from wav2uti.files import replaced


class MetricsLog(Logger):
    """Writes what a training logs to `SAVE_DIR/NAME/VERSION/metrics.csv`, one row a step and kind.

    Lightning's `CSVLogger` deletes the file that it finds in the folder of a run that goes on. Here its rows stay up to
    the step that the run goes on from; those after it, which are logged once more, are replaced.

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
        super().__init__()
        if flush_logs_every_n_steps < 1:
            raise InputError(f"flush_logs_every_n_steps must be 1 or more, not {flush_logs_every_n_steps}.")
        self._save_dir = save_dir
        self._name = name
        self._version = version
        self.flush_logs_every_n_steps = flush_logs_every_n_steps
        self._rows: list[dict[str, Any]] = []
        self._columns: list[str] | None = None  # of the file; None before it was looked at

    @property
    def name(self) -> str:
        return self._name

    @property
    def save_dir(self) -> str:
        return self._save_dir

    @property
    def version(self) -> int | str:
        if self._version is None:
            numbers = [p.name.removeprefix("version_") for p in (Path(self._save_dir) / self._name).glob("version_*")]
            self._version = max((int(number) for number in numbers if number.isdecimal()), default=-1) + 1
        return self._version

    @property
    def log_dir(self) -> str:
        """Folder of this run."""
        version = self.version if isinstance(self.version, str) else f"version_{self.version}"
        return str(Path(self._save_dir) / self._name / version)

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.log_dir) / "metrics.csv"

    @property
    def experiment(self) -> "MetricsLog":
        """Itself: there is no other program behind it."""
        return self

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the config of the run lies beside the file."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Take a row."""
        step = 0 if step is None else step
        if self._columns is None:
            self._columns = self._cut_off(step)
        row = {name: float(value) for name, value in metrics.items()}
        last = self._rows[-1] if self._rows else {}
        if last.get("step") == step and not last.keys() & row.keys():
            last.update(row)
        else:
            self._rows.append({**row, "step": step})
        if len(self._rows) >= self.flush_logs_every_n_steps:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        """Write the rows that are not in the file yet.

        Raises:
            InputError: the folder or the disk refuses them.
        """
        if not self._rows:
            return
        known = self._columns or []
        columns = sorted({*known, *(name for row in self._rows for name in row)})
        if columns != known:
            self._write_anew([*_rows_of(self.path), *self._rows], columns)
        else:
            try:
                with self.path.open("a", newline="", encoding="utf-8") as file:
                    csv.DictWriter(file, columns).writerows(self._rows)
            except OSError as error:
                raise InputError(f"{self.path} cannot be written ({error.strerror}): free space.") from error
        self._columns, self._rows = columns, []

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the last rows."""
        self.save()

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
