"""What W&B, offline, and TensorBoard were given, read back from their own files."""

import csv
import io
import json
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import REPOSITORY
from media_files import clip_of, halves, shrunk
from PIL import Image

from wav2uti.cli import main
from wav2uti.errors import InputError
from wav2uti.training import dashboards
from wav2uti.training.config import commit

wandb = pytest.importorskip("wandb")


@pytest.fixture(scope="module", autouse=True)
def _drawn_at_the_end() -> Iterator[None]:
    """However short they are, the trainings here are long enough for a look at their end."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("wav2uti.training.gallery.LEAST", 1)
        yield


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No network and no login, whatever the machine has."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    if wandb.run is not None:
        wandb.run.finish()


def fit(corpus: Path, runs: Path, logger: str, steps: int, *options: str) -> Path:
    """Some steps of the smallest model on a dashboard; the folder of the run."""
    status = main(
        [
            "fit",
            f"--config={REPOSITORY / 'configs' / 'debug.yaml'}",
            f"--config={REPOSITORY / 'configs' / 'logger' / f'{logger}.yaml'}",
            f"--data.shards={corpus}",
            "--data.clip_frames=8",
            f"--trainer.logger.init_args.save_dir={runs}",
            "--trainer.logger.init_args.version=v",
            f"--trainer.max_steps={steps}",
            "--trainer.log_every_n_steps=1",
            "--trainer.limit_val_batches=1",
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
            "--model.init_args.sampler.init_args.steps=1",
            *options,
        ]
    )
    assert status == 0
    return runs / "debug" / "v"


def records(content: bytes) -> Iterator[bytes]:
    """The records of a .wandb file: after a header of 7 bytes, LevelDB's log format in blocks of 32 KiB."""
    assert content[:4] == b":W&B"
    place, parts = 7, b""
    while place < len(content):
        if 32768 - place % 32768 < 7:  # no room for another header in this block
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + 7])  # after the checksum
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


class Sent:
    """What a run's file holds: rows of its history, its summary and its config."""

    def __init__(self, folder: Path) -> None:
        from google.protobuf.message import DecodeError
        from wandb.proto import wandb_internal_pb2

        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self.runs: list[Any] = []
        (path,) = folder.glob("run-*.wandb")
        found: list[Any] = []
        until = time.monotonic() + 20
        # The process that writes it may be at it for a moment after the run has ended.
        while not any(record.WhichOneof("record_type") == "exit" for record in found):
            assert time.monotonic() < until, f"{path} has no end"
            try:
                found = [wandb_internal_pb2.Record.FromString(data) for data in records(path.read_bytes())]
            except (DecodeError, struct.error):  # its last record is half written
                time.sleep(0.1)
        for record in found:
            kind = record.WhichOneof("record_type")
            if kind == "history":
                self.rows.append(_items(record.history.item))
            elif kind == "summary":
                self.summary |= _items(record.summary.update)
            elif kind == "run":
                self.runs.append(record.run)
                self.config |= _items(record.run.config.update)
            elif kind == "config":
                self.config |= _items(record.config.update)


def _items(items: Any) -> dict[str, Any]:
    """Keys and values, those of a nested key put together."""
    found: dict[str, Any] = {}
    for item in items:
        *outer, last = [item.key] if item.key else item.nested_key
        place = found
        for name in outer:
            place = place.setdefault(name, {})
        place[last] = json.loads(item.value_json)
    return found


def sent(run: Path) -> list[Sent]:
    return [Sent(folder) for folder in sorted((run / "wandb").glob("offline-run-*"))]


@pytest.fixture(scope="module")
def tracked(_drawn_at_the_end: None, simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that went on once: two steps, and two more."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("WANDB_MODE", "offline")
        patched.setenv("WANDB_SILENT", "true")
        runs = tmp_path_factory.mktemp("tracked")
        fit(simulated, runs, "wandb", 2)
        return fit(simulated, runs, "wandb", 4, "--ckpt_path=last")


def test_a_training_that_goes_on_goes_on_in_its_run(tracked: Path) -> None:
    first, second = sent(tracked)
    id = (tracked / "wandb-id.txt").read_text().strip()
    assert {run.run_id for part in (first, second) for run in part.runs} == {id}
    assert {run.display_name for part in (first, second) for run in part.runs} == {"debug/v"}
    assert {run.project for part in (first, second) for run in part.runs} == {"wav2uti"}
    steps = [[row["_step"] for row in part.rows] for part in (first, second)]
    assert steps == [[0, 1], [2, 3]]


def test_rows_have_their_step_and_the_values_of_the_table(tracked: Path) -> None:
    with (tracked / "metrics.csv").open(newline="") as file:
        table = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    rows = [row for part in sent(tracked) for row in part.rows]
    assert [row["trainer/global_step"] for row in rows] == [0, 1, 2, 3]
    for told in table:
        (row,) = (row for row in rows if row["_step"] == told["step"])
        for name in set(told) - {"step", "epoch"}:
            assert row[name] == pytest.approx(told[name], rel=1e-6), name
    assert "gallery/rmse" in rows[1]
    assert "gallery/rmse" in rows[3]
    assert "gallery/rmse" not in rows[2]
    by_sigma = rows[0]["train/loss_by_sigma"]
    assert by_sigma["bins"] == list(range(-3, 4))
    named = {k: v for k, v in rows[0].items() if k.startswith("train/loss_sigma_")}
    assert sorted(v for v in by_sigma["values"] if v) == pytest.approx(sorted(named.values()), rel=1e-6)


def test_videos_and_sheets_are_there_and_can_be_seen(tracked: Path, simulated: Path) -> None:
    for part, step in zip(sent(tracked), (2, 4), strict=True):
        row = part.rows[-1]
        videos, sheets = row["gallery/videos"], row["gallery/sheets"]
        assert (videos["_type"], sheets["_type"]) == ("videos", "images/separated")
        own = tracked / "media" / f"step-{step:06d}"
        assert len(videos["videos"]) == len(sheets["filenames"]) == len(list(own.glob("*.mp4"))) == 4
        kept = {path.read_bytes() for path in own.iterdir()}
        for video in videos["videos"]:
            path, caption = part.folder / "files" / video["path"], video["caption"]
            assert path.read_bytes() in kept
            assert caption.startswith("SIMULATED")
            assert f"Step {step}" in caption
            (own_name,) = (file for file in own.glob("*.mp4") if file.read_bytes() == path.read_bytes())
            real = clip_of(own_name, simulated, 8)
            left, right = (shrunk(half, 16) for half in halves(path))
            assert np.sqrt(np.mean((left - real) ** 2)) < 6
            assert right.shape == real.shape
        for sheet in sheets["filenames"]:
            path = part.folder / "files" / sheet
            assert path.read_bytes() in kept
            Image.open(path).verify()


def test_the_config_is_that_of_the_run_and_the_rest_is_known(tracked: Path) -> None:
    config = yaml.safe_load((tracked / "config.yaml").read_text())
    found = sent(tracked)[-1].config
    assert {key: found[key] for key in config} == config
    about = found["about"]
    assert about["facts"]["simulated"] is True
    assert about["facts"]["acoustic"]["name"] == "logmel"
    assert about["model"]["parameters"] == about["model"]["trained_parameters"] > 100_000
    assert {part: len(about["data"][part]["speakers"]) for part in ("train", "val", "test")} == dict.fromkeys(
        ("train", "val", "test"), 1
    )
    assert about["data"]["train"]["clips"] > 10
    assert about["commit"] == commit(Path(dashboards.__file__).parents[1])


def test_a_test_adds_its_scores_to_the_run_of_the_checkpoint(tracked: Path, simulated: Path, tmp_path: Path) -> None:
    before = sent(tracked)
    status = main(
        [
            "test",
            f"--config={REPOSITORY / 'configs' / 'debug.yaml'}",
            f"--config={REPOSITORY / 'configs' / 'logger' / 'wandb.yaml'}",
            f"--data.shards={simulated}",
            "--data.clip_frames=8",
            f"--trainer.logger.init_args.save_dir={tmp_path}",
            "--trainer.limit_test_batches=1",
            "--trainer.enable_progress_bar=false",
            "--model.init_args.sampler.init_args.steps=1",
            f"--ckpt_path={tracked / 'checkpoints' / 'last.ckpt'}",
        ]
    )
    assert status == 0
    (added,) = (part for part in sent(tracked) if part.folder not in [known.folder for known in before])
    assert added.runs[0].run_id == before[0].runs[0].run_id
    scores = json.loads((tracked / "metrics.json").read_text())["scores"]
    assert {name for name in added.summary if name.startswith("test/")} == {f"test/{name}" for name in scores}
    assert added.summary["test/rmse"] == pytest.approx(scores["rmse"], rel=1e-6)
    assert "epoch" not in added.summary


@pytest.mark.slow
def test_a_training_that_begins_anew_is_another_run(simulated: Path, tmp_path: Path) -> None:
    ids = []
    for _ in range(2):
        run = fit(simulated, tmp_path, "wandb", 1, "--trainer.limit_val_batches=0", "--data.val_speakers=0")
        ids.append((run / "wandb-id.txt").read_text())
    assert ids[0] != ids[1]


def test_nobody_is_logged_in(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def refuse(**_: Any) -> None:
        raise wandb.errors.UsageError("api_key not configured (no-tty). call wandb.login(key=[your_api_key])")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(AssertionError):
        fit(simulated, tmp_path, "wandb", 1)
    said = capsys.readouterr().err
    assert "log in with `wandb login`, or set WANDB_MODE=offline" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_without_a_connection_it_is_written_to_the_disk(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    init = wandb.init

    def unreachable(**options: Any) -> Any:
        if options.get("mode") != "offline":
            raise wandb.errors.CommError("Run initialization has timed out after 90.0 sec.")
        return init(**options)

    monkeypatch.setattr(wandb, "init", unreachable)
    run = fit(simulated, tmp_path, "wandb", 1)
    assert "Weights & Biases cannot be reached" in capsys.readouterr().err
    (part,) = sent(run)
    assert "gallery/videos" in part.rows[0]


@pytest.mark.slow
@pytest.mark.parametrize("logger", ["wandb", "tensorboard"])
def test_a_dashboard_that_fails_ends_no_training(
    logger: str, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(wandb.Run, "log", broken)
    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.add_scalar", broken)
    run = fit(simulated, tmp_path, logger, 2, "--trainer.callbacks+=Watch")
    assert capsys.readouterr().err.count("does not take what is logged") == 1
    assert (run / "metrics.csv").is_file()


@pytest.mark.parametrize(("name", "extra"), [("WandB", "wandb"), ("TensorBoard", "tensorboard")])
def test_a_missing_package_is_named(name: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboards, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=rf"pip install 'wav2uti\[{extra}\]'"):
        getattr(dashboards, name)()


@pytest.fixture(scope="module")
def board(_drawn_at_the_end: None, simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(simulated, tmp_path_factory.mktemp("board"), "tensorboard", 2)


def events(run: Path) -> Any:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(run / "tensorboard"), {"images": 0, "scalars": 0, "tensors": 0})
    return found.Reload()


def test_tensorboard_has_the_scalars_of_the_table(board: Path) -> None:
    found = events(board)
    assert [event.step for event in found.Scalars("train/loss")] == [0, 1]
    assert [event.step for event in found.Scalars("gallery/rmse")] == [1]
    assert "hp_metric" not in found.Tags()["scalars"]
    with (board / "metrics.csv").open(newline="") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert [event.value for event in found.Scalars("train/loss")] == pytest.approx(losses, rel=1e-6)


def test_tensorboard_has_moving_pictures_and_sheets(board: Path, simulated: Path) -> None:
    found = events(board)
    names = sorted(path.stem for path in (board / "media" / "step-000002").glob("*.mp4"))
    assert sorted(found.Tags()["images"]) == sorted(f"gallery/{k}/{n}" for k in ("sheets", "videos") for n in names)
    for name in names:
        (event,) = found.Images(f"gallery/videos/{name}")
        gif = Image.open(io.BytesIO(event.encoded_image_string))
        assert (event.step, gif.format, gif.n_frames, gif.size) == (1, "GIF", 8, ((16 + 2 + 16) * 8, 128))
        gif.seek(7)
        left = np.asarray(gif.convert("L"))[4::8, 4:128:8]
        np.testing.assert_array_equal(left, clip_of(Path(name), simulated, 8)[7])
        (sheet,) = found.Images(f"gallery/sheets/{name}")
        assert sheet.encoded_image_string == (board / "media" / "step-000002" / f"{name}.png").read_bytes()


def test_tensorboard_has_the_config_as_text(board: Path) -> None:
    found = events(board)
    text = found.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    told = yaml.safe_load("\n".join(line[4:] for line in text.splitlines()))
    assert told == yaml.safe_load((board / "config.yaml").read_text())
    about = found.Tensors("about/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "trained_parameters" in about


def test_an_installed_package_has_no_commit(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").touch()
    assert commit(tmp_path) is None
