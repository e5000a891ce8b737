"""The student: begun from a trained model, tuned in stages, and drawn from in a few calls."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import REPOSITORY, Run

from wav2uti.cli import main
from wav2uti.data.module import ClipData
from wav2uti.diffusion.consistency import Pairs
from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import Consistency, StochasticHeun
from wav2uti.errors import InputError
from wav2uti.tasks.base import Task
from wav2uti.tasks.batch import Batch
from wav2uti.tasks.consistency import ConsistencyTask


def arguments(run: Run, folder: Path, *options: str) -> list[str]:
    """Tuning the debug model for two steps, each at a stage of its own."""
    return [
        "fit",
        f"--config={REPOSITORY / 'configs' / 'debug.yaml'}",
        f"--data.shards={run.corpus}",
        "--model=ConsistencyTask",
        "--model.sampler=Consistency",
        "--model.guidance.scale=1.0",
        "--model.pairs.interval=1",
        f"--trainer.logger.init_args.save_dir={folder}",
        "--trainer.logger.init_args.version=student",
        "--trainer.max_steps=2",
        "--trainer.log_every_n_steps=1",
        "--trainer.limit_val_batches=1",
        "--trainer.check_val_every_n_epoch=null",
        "--trainer.val_check_interval=2",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
        *options,
    ]


@pytest.fixture(scope="module")
def tuned(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A student of the debug model."""
    folder = tmp_path_factory.mktemp("student")
    assert main(arguments(run, folder, f"--model.start_from={run.checkpoint}")) == 0
    run_folder = folder / "debug" / "student"
    return Run(run.corpus, run_folder, run_folder / "checkpoints" / "last.ckpt")


@pytest.fixture
def student(tuned: Run) -> ConsistencyTask:
    task = Task.from_checkpoint(tuned.checkpoint)
    assert isinstance(task, ConsistencyTask)
    return task


def speech(task: Task, frames: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    return {
        "acoustic": torch.randn(frames, task.facts["acoustic"]["width"], generator=generator),
        "text": torch.randn(6, task.facts["text"]["width"], generator=generator),
        "reference": torch.rand(16, 16, generator=generator) * 2 - 1,
    }


def some_batch(run: Run) -> Batch:
    data = ClipData(str(run.corpus), reference="speaker", batch_size=2)
    data.setup("fit")
    batch: Batch = next(iter(data.train_dataloader()))
    return batch


def test_it_goes_through_its_stages_and_logs_what_it_is_judged_by(tuned: Run) -> None:
    table = (tuned.folder / "metrics.csv").read_text().splitlines()
    rows = [dict(zip(table[0].split(","), line.split(","), strict=True)) for line in table[1:]]
    assert [float(row["train/stage"]) for row in rows if row["train/stage"]] == [1, 2]
    (validation,) = [row for row in rows if row["val/energy"]]
    assert 0 < float(validation["val/energy"]) < 10
    assert float(validation["val/loss"]) > 0


def test_the_checkpoint_rebuilds_it_without_its_teacher(student: ConsistencyTask, tuned: Run) -> None:
    saved = torch.load(tuned.checkpoint, weights_only=True)
    assert not {"start_from", "sampler", "guidance"} & set(saved["hyper_parameters"])
    assert student.loss.pairs == Pairs(interval=1)
    assert student.loss.stage == 3  # the one that training would go on with
    assert isinstance(student.sampler, Consistency)
    assert student.describe() | {"sampler": "Consistency", "calls": 2, "guidance": 1.0} == student.describe()
    for name, value in student.state_dict().items():
        assert torch.equal(value, saved["state_dict"][name]), name


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_clip_takes_as_many_calls_as_steps(student: ConsistencyTask, steps: int) -> None:
    calls = []
    student.denoiser.net.register_forward_hook(lambda *args: calls.append(1))
    student.sampler = student.sampler.with_steps(steps)
    video = student.generate(**speech(student, 16))
    assert video.shape == (16, 16, 16)
    assert len(calls) == steps
    assert student.generate(**speech(student, 37)).shape == (37, 16, 16)  # in windows


def test_the_teachers_buffers_are_taken_over(run: Run, student: ConsistencyTask) -> None:
    """Not those of other data that it may be tuned on."""
    teacher = Task.from_checkpoint(run.checkpoint)
    facts = teacher.facts | {"frame_mean": 0.5, "frame_std": 0.7}
    options = {name: student.hparams[name] for name in ("fusion", "net", "sigma_data")}
    begun = ConsistencyTask(facts, start_from=str(run.checkpoint), **options)
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, begun.state_dict()[name]), name


def test_without_a_teacher_nothing_is_tuned(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(run, tmp_path)) != 0
    assert "give the checkpoint of its DiffusionTask" in capsys.readouterr().err


def test_a_stopped_tuning_goes_on_without_its_teacher(tuned: Run, tmp_path: Path) -> None:
    options = (f"--ckpt_path={tuned.checkpoint}", "--trainer.max_steps=3")
    assert main(arguments(tuned, tmp_path, *options)) == 0
    (again,) = tmp_path.rglob("last.ckpt")
    assert torch.load(again, weights_only=True)["global_step"] == 3


@pytest.mark.parametrize("guidance", [Guidance(2.0), Guidance(1.0, text_scale=2.0), Guidance(1.0, weak="x.ckpt")])
def test_guidance_is_refused(student: ConsistencyTask, guidance: Guidance) -> None:
    student.guidance = guidance
    with pytest.raises(InputError, match=r"guidance\.scale to 1"):
        student.generate(**speech(student, 8))
    with pytest.raises(InputError, match=r"guidance\.scale to 1"):
        ConsistencyTask(student.facts, guidance=guidance, fusion=student.hparams["fusion"], net=student.hparams["net"])


def test_a_sampler_of_denoisers_is_refused(student: ConsistencyTask, tuned: Run) -> None:
    student.sampler = StochasticHeun(steps=2)
    with pytest.raises(InputError, match="not with StochasticHeun"):
        student.test_step(some_batch(tuned), 0)


def test_gradients_reach_fusion_and_network(student: ConsistencyTask, tuned: Run) -> None:
    student.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    student.loss.pairs = Pairs(first=4)
    student.training_step(some_batch(tuned), 0).backward()
    without = [name for name, p in student.named_parameters() if p.requires_grad and p.grad is None]
    assert not without  # several GPUs would wait for them


@pytest.mark.slow
def test_a_new_process_draws_from_a_student(tuned: Run, tmp_path: Path) -> None:
    """In which nothing has imported its class before the checkpoint names it."""
    said = [f"--shards={tuned.corpus}", "--recording=s01_u000", f"--ckpt_path={tuned.checkpoint}"]
    subprocess.run([sys.executable, "-m", "wav2uti", "predict", *said, f"--output={tmp_path}"], check=True)
    assert (tmp_path / "s01_u000.mp4").exists()
