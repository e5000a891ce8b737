"""`RegressionTask` through the commands, and its drawing as the draft of a diffusion model."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY, Run

from wav2uti.baseline.dnn import Dnn
from wav2uti.cli import main
from wav2uti.data.module import ClipData
from wav2uti.diffusion.seeds import derived_generator
from wav2uti.errors import InputError
from wav2uti.tasks.base import Task
from wav2uti.tasks.diffusion import DiffusionTask
from wav2uti.tasks.regression import Regression, RegressionTask

DRAFT = [
    "--model.init_args.{}.init_args.fusion.init_args.width=32",
    "--model.init_args.{}.init_args.fusion.init_args.heads=4",
    "--model.init_args.{}.init_args.net.init_args.channels=16",
    "--model.init_args.{}.init_args.net.init_args.multipliers=[1,2]",
]


def fit(config: str, corpus: Path, runs: Path, *options: str) -> Path:
    """Three steps of a shipped config through the command line; the checkpoint."""
    status = main(
        [
            "fit",
            f"--config={REPOSITORY / 'configs' / config}.yaml",
            f"--data.shards={corpus}",
            "--data.test_speakers=1",
            "--data.val_speakers=1",
            "--data.batch_size=4",
            f"--trainer.logger.init_args.save_dir={runs}",
            "--trainer.logger.init_args.version=v",
            "--trainer.max_steps=3",
            "--trainer.limit_val_batches=1",
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
            *options,
        ]
    )
    assert status == 0
    (checkpoint,) = runs.rglob("last.ckpt")
    return checkpoint


@pytest.fixture(scope="module")
def dnn(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    hidden = "--model.init_args.regression.init_args.net.init_args.hidden=[16,16]"
    return fit("simulated_64_dnn", simulated, tmp_path_factory.mktemp("dnn"), hidden)


@pytest.fixture(scope="module")
def draft(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = [option.format("regression") for option in DRAFT]
    return fit("simulated_64_draft", simulated, tmp_path_factory.mktemp("draft"), *options)


@pytest.fixture(scope="module")
def drawn_from_draft(draft: Path, simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(
        "simulated_64",
        simulated,
        tmp_path_factory.mktemp("diffusion"),
        *(option.format("draft") for option in DRAFT),
        "--data.clip_frames=4",
        "--model.init_args.net.init_args.channels=16",
        "--model.init_args.net.init_args.multipliers=[1,2]",
        f"--model.init_args.draft_from={draft}",
    )


def test_dnn_is_trained_tested_and_predicts_by_the_same_commands(dnn: Path, simulated: Path, tmp_path: Path) -> None:
    out = tmp_path / "metrics.json"
    scoring = {"class_path": "Scoring", "init_args": {"output": str(out), "fvd": False, "fid": False, "kid": False}}
    status = main(
        [
            "test",
            f"--data.shards={simulated}",
            "--data.text=none",
            "--data.reference=speaker",
            "--data.test_speakers=1",
            f"--ckpt_path={dnn}",
            "--trainer.accelerator=cpu",
            "--trainer.logger=false",
            "--trainer.enable_progress_bar=false",
            f"--trainer.callbacks={json.dumps([scoring])}",
        ]
    )
    assert status == 0
    facts = json.loads(out.read_text())
    assert facts["task"] == {"task": "RegressionTask", "network": "Dnn", "text": False, "reference": True}
    assert 0 < facts["scores"]["rmse"] < 255
    recording = facts["per_recording"].popitem()[0]
    arguments = ["--shards", str(simulated), "--recording", recording, "--ckpt_path", str(dnn)]
    assert main(["predict", *arguments, "--output", str(tmp_path)]) == 0
    frames = np.load(tmp_path / f"{recording}.npz")["frames"]
    assert frames.shape[1:] == (16, 16)


def test_regression_is_the_same_in_windows_and_at_once(dnn: Path) -> None:
    """The DNN looks at frames one by one: windows and their blending must not show."""
    task = Task.from_checkpoint(dnn)
    assert isinstance(task, RegressionTask)
    generator = torch.Generator().manual_seed(0)
    acoustic = torch.randn(41, task.facts["acoustic"]["width"], generator=generator)
    reference = torch.rand(16, 16, generator=generator) * 2 - 1
    whole = task.generate(acoustic, None, reference)
    assert whole.shape == (41, 16, 16)
    task.facts["clip_frames"], task.overlap = 64, 0
    torch.testing.assert_close(task.generate(acoustic, None, reference), whole)


def test_components_are_fitted_before_the_first_step_and_travel(simulated: Path, tmp_path: Path) -> None:
    net = "--model.init_args.regression.init_args.net.init_args"
    checkpoint = fit("simulated_64_dnn", simulated, tmp_path, f"{net}.outputs=pca", f"{net}.components=5")
    task = Task.from_checkpoint(checkpoint)
    assert isinstance(task, RegressionTask)
    net_ = task.regression.net
    assert isinstance(net_, Dnn)
    torch.testing.assert_close(net_.basis @ net_.basis.T, torch.eye(5), atol=1e-4, rtol=0)
    assert net_.frames_to_fit == 0


def test_what_a_draft_lacks_is_measured(drawn_from_draft: Path, simulated: Path) -> None:
    task = Task.from_checkpoint(drawn_from_draft)
    assert isinstance(task, DiffusionTask)
    assert task.draft is not None
    # Not the deviation of the frames, which it stands at before the training.
    assert 0.01 < float(task.denoiser.sigma_data) < 0.95 * task.facts["frame_std"]
    assert "draft_from" not in torch.load(drawn_from_draft, weights_only=True)["hyper_parameters"]


def test_weights_taken_over_bring_what_their_draft_lacked(
    drawn_from_draft: Path, simulated: Path, tmp_path: Path
) -> None:
    again = fit(
        "simulated_64",
        simulated,
        tmp_path,
        *(option.format("draft") for option in DRAFT),
        "--data.clip_frames=16",
        "--model.init_args.net.init_args.channels=16",
        "--model.init_args.net.init_args.multipliers=[1,2]",
        f"--model.init_args.start_from={drawn_from_draft}",
    )
    before, after = (torch.load(path, weights_only=True)["state_dict"] for path in (drawn_from_draft, again))
    assert torch.equal(before["denoiser.sigma_data"], after["denoiser.sigma_data"])
    assert not torch.equal(before["denoiser.net.last.weight"], after["denoiser.net.last.weight"])


def test_the_draft_is_that_of_its_checkpoint_and_is_not_trained(draft: Path, drawn_from_draft: Path) -> None:
    trained, used = Task.from_checkpoint(draft), Task.from_checkpoint(drawn_from_draft)
    assert isinstance(trained, RegressionTask)
    assert isinstance(used, DiffusionTask)
    assert used.draft is not None
    for (name, one), other in zip(
        trained.regression.state_dict().items(), used.draft.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, msg=name)
    ids = {id(p) for p in used.trained_parameters()}
    assert ids
    assert not ids & {id(p) for p in used.draft.parameters()}


def test_at_high_noise_the_untrained_denoiser_draws_the_draft(drawn_from_draft: Path, simulated: Path) -> None:
    task = Task.from_checkpoint(drawn_from_draft)
    assert isinstance(task, DiffusionTask)
    data = ClipData(str(simulated), reference="speaker", clip_frames=4, acoustic_context=12, text_times=True)
    batch = next(iter(data.test_dataloader()))
    cond = task.condition(batch)
    for parameter in task.denoiser.net.parameters():
        torch.nn.init.zeros_(parameter)
    x = 100 * torch.randn(batch["frames"].shape)
    drawn = task.denoiser(x, torch.full((len(x),), 100.0), cond)
    assert cond.draft is not None
    torch.testing.assert_close(drawn, cond.draft, atol=0.02, rtol=0)


def test_a_draft_of_another_network_is_refused(draft: Path, dnn: Path, run: Run, simulated: Path) -> None:
    facts = Task.from_checkpoint(draft).facts
    cases = [
        (draft, None, "has no draft"),
        (run.checkpoint, Regression, "DiffusionTask"),
        (draft, Regression, "another regression"),
        (dnn, Regression, "without text|no text"),
    ]
    for path, builder, sentence in cases:
        with pytest.raises(InputError, match=sentence):
            DiffusionTask(facts, draft=builder, draft_from=str(path))


def test_noise_of_a_clip_depends_on_the_clip_and_the_seed_only() -> None:
    def first(*place: object) -> float:
        return float(torch.randn((), generator=derived_generator(*place)))  # type: ignore[arg-type]

    assert first(0, "a", 0.25) == first(0, "a", 0.25)
    assert len({first(0, "a", 0.25), first(1, "a", 0.25), first(0, "b", 0.25), first(0, "a", 0.5)}) == 4


def test_a_tests_clips_do_not_depend_on_their_batch(drawn_from_draft: Path, simulated: Path) -> None:
    task = Task.from_checkpoint(drawn_from_draft)
    assert isinstance(task, DiffusionTask)
    task.sampler = task.sampler.with_steps(3)
    drawn = {}
    for size in (1, 3):
        data = ClipData(
            str(simulated), reference="speaker", clip_frames=4, acoustic_context=12, text_times=True, batch_size=size
        )
        batches = iter(data.test_dataloader())
        clips = [task.test_step(next(batches), k)["generated"] for k in range(3 // size)]
        drawn[size] = torch.cat(clips)
    torch.testing.assert_close(drawn[1], drawn[3], atol=1e-4, rtol=0)
