"""metrics.csv over a run that is stopped and goes on."""

import csv
from pathlib import Path

from wav2uti.training.log import MetricsLog


def rows(log: MetricsLog) -> list[dict[str, str]]:
    with (Path(log.log_dir) / "metrics.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def logged(folder: Path, steps: range, **more: float) -> MetricsLog:
    log = MetricsLog(str(folder), "run", "v")
    for step in steps:
        log.log_metrics({"loss": step / 4, **more}, step)
    log.save()
    return log


def test_rows_after_the_checkpoint_are_replaced_and_those_before_it_stay(tmp_path: Path) -> None:
    logged(tmp_path, range(5), old=1.0)
    log = logged(tmp_path, range(3, 6), new=2.0)
    found = rows(log)
    assert [row["step"] for row in found] == ["0", "1", "2", "3", "4", "5"]
    assert ["old" in row for row in found] == [True] * 3 + [False] * 3
    assert [float(row["loss"]) for row in found] == [0, 0.25, 0.5, 0.75, 1, 1.25]


def test_a_row_that_a_kill_left_half_written_is_left_out(tmp_path: Path) -> None:
    path = Path(logged(tmp_path, range(3)).log_dir) / "metrics.csv"
    for cut in range(1, 8):
        path.write_bytes(path.read_bytes()[:-cut])
        log = logged(tmp_path, range(2, 4))
        assert [row["step"] for row in rows(log)][-2:] == ["2", "3"]
        assert all(row.keys() == {"loss", "step"} for row in rows(log))


def test_what_comes_for_one_step_is_one_row_and_a_second_value_another(tmp_path: Path) -> None:
    log = MetricsLog(str(tmp_path), "run", "v")
    log.log_metrics({"loss": 1.0, "epoch": 0}, 7)
    log.log_metrics({"norm": 2.0, "epoch": 0}, 7)
    log.log_metrics({"loss": 3.0}, 7)
    log.save()
    assert rows(log) == [
        {"loss": "1.0", "norm": "2.0", "epoch": "0.0", "step": "7"},
        {"loss": "3.0", "step": "7"},
    ]


def test_a_row_is_whole_before_it_is_written(tmp_path: Path) -> None:
    log = MetricsLog(str(tmp_path), "run", "v", flush_logs_every_n_steps=2)
    for step in range(5):
        log.log_metrics({"loss": 1.0}, step)
        log.log_metrics({"norm": 2.0}, step)
    assert [row["step"] for row in rows(log)] == ["0", "1", "2", "3"]
    assert all(row.keys() == {"loss", "norm", "step"} for row in rows(log))


def test_runs_are_numbered(tmp_path: Path) -> None:
    for expected in ("version_0", "version_1"):
        log = MetricsLog(str(tmp_path), "run")
        log.log_metrics({"loss": 1.0}, 0)
        log.save()
        assert Path(log.log_dir).name == expected
