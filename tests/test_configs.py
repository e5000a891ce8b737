"""Every shipped YAML goes through `fit`: the real file, with a small network and two steps."""

import re
from pathlib import Path

import pytest
from conftest import REPOSITORY

from wav2uti.cli import main

CONFIGS = sorted((REPOSITORY / "configs").glob("*.yaml"))


def configs_of(config: Path) -> list[Path]:
    """The configs that the command in its head names, in order: some only change another one."""
    (command,) = re.findall(r"^# Command: +(.*)$", config.read_text(), re.MULTILINE)
    return [REPOSITORY / name for name in re.findall(r"--config (\S+)", command)]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_config_fits(config: Path, simulated: Path, tmp_path: Path) -> None:
    status = main(
        [
            "fit",
            *(f"--config={path}" for path in configs_of(config)),
            f"--data.shards={simulated}",
            "--data.batch_size=2",
            "--data.num_workers=0",
            "--data.test_speakers=1",
            "--data.val_speakers=1",
            "--model.init_args.net=UNet",
            "--model.init_args.net.init_args.channels=16",
            "--model.init_args.net.init_args.multipliers=[1,2]",
            "--model.init_args.net.init_args.patch=4",
            "--trainer.accelerator=cpu",
            "--trainer.devices=1",
            "--trainer.strategy=auto",
            "--trainer.max_steps=2",
            "--trainer.limit_val_batches=1",
            f"--trainer.logger.init_args.save_dir={tmp_path}",
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
        ]
    )
    assert status == 0
    assert list(tmp_path.rglob("last.ckpt"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_config_says_what_it_is(config: Path) -> None:
    head = config.read_text().split("seed_everything")[0]
    for word in ("What:", "Corpus:", "Command:", "Hardware:", "Time:", "Expect:"):
        assert f"# {word}" in head
    assert f"configs/{config.name}" in head


def test_the_papers_six_rows_are_there() -> None:
    assert {f"{name}_{size}" for name in ("a", "a_t") for size in (64, 96, 112)} <= {path.stem for path in CONFIGS}
