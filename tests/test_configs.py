"""Every shipped YAML goes through `fit`: the real file, with a small network and two steps."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

from wav2uti.cli import main

CONFIGS = sorted((REPOSITORY / "configs").glob("*.yaml"))
TRAINERS = sorted((REPOSITORY / "configs" / "trainer").glob("*.yaml"))  # on what a config is trained


def configs_of(config: Path) -> list[Path]:
    """The configs that the command in its head names, in order: some only change another one."""
    (command,) = re.findall(r"^# Command: +(.*)$", config.read_text(), re.MULTILINE)
    return [REPOSITORY / name for name in re.findall(r"--config (\S+)", command)]


def small(configs: list[Path]) -> list[str]:
    """Options that make the networks of a config small."""
    text = "".join(path.read_text() for path in configs)
    networks = []
    if "class_path: DiffusionTask" in text:
        networks.append("--model.init_args.net")
    if "class_path: MovedReference" in text:
        networks.append(f"--model.init_args.{'draft' if networks else 'regression'}.init_args.net")
    options = {"channels": "16", "multipliers": "[1,2]", "patch": "4"}
    made_small = [f"{network}.init_args.{name}={value}" for network in networks for name, value in options.items()]
    if re.search(r"^  size: ", text, re.MULTILINE):  # a stage of a cascade, here of 8x8 and 16x16
        later = re.findall(r"^    low:(.*)$", text, re.MULTILINE)[-1:] == [""]
        made_small += ["--data.size=16", "--model.init_args.low.size=8"] if later else ["--data.size=8"]
    # The paper's configs leave the network to its default, which must be named before it can be changed.
    return [*(["--model.init_args.net=UNet"] if "class_path: DiffusionTask" in text else []), *made_small]


def fit(configs: list[Path], corpus: Path, runs: Path, *options: str) -> Path:
    """Two steps of training; its checkpoint."""
    status = main(
        [
            "fit",
            *(f"--config={path}" for path in configs),
            f"--data.shards={corpus}",
            "--data.batch_size=2",
            "--data.num_workers=0",
            "--data.test_speakers=1",
            "--data.val_speakers=1",
            *small(configs),
            "--trainer.accelerator=cpu",
            "--trainer.devices=1",
            "--trainer.strategy=auto",
            "--trainer.max_steps=2",
            "--trainer.limit_val_batches=1",
            f"--trainer.logger.init_args.save_dir={runs}",
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
            *options,
        ]
    )
    assert status == 0
    (checkpoint,) = runs.rglob("last.ckpt")
    return checkpoint


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_config_fits(config: Path, simulated: Path, tmp_path: Path) -> None:
    configs, options = configs_of(config), []
    if "class_path: ConsistencyTask" in config.read_text():  # it changes the config of the model that it tunes
        teacher = fit([path for path in configs if path != config], simulated, tmp_path / "teacher")
        options.append(f"--model.init_args.start_from={teacher}")
    fit(configs, simulated, tmp_path / "run", *options)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_config_says_what_it_is(config: Path) -> None:
    head = config.read_text().split("seed_everything")[0]
    for word in ("What:", "Corpus:", "Command:", "Hardware:", "Time:", "Expect:"):
        assert f"# {word}" in head
    assert f"configs/{config.name}" in head


def test_the_papers_rows_are_there() -> None:
    assert {f"{name}_{size}" for name in ("dnn", "a", "a_t") for size in (64, 96, 112)} <= {
        path.stem for path in CONFIGS
    }


@pytest.mark.parametrize("trainer", TRAINERS, ids=lambda path: path.stem)
def test_a_config_fits_on_what_another_says(trainer: Path, simulated: Path, tmp_path: Path) -> None:
    """On the processor: the rest of what it says is taken as it is."""
    configs = [REPOSITORY / "configs" / "a_t_64.yaml", trainer]
    fit(configs, simulated, tmp_path, "--trainer.num_nodes=1", "--trainer.accumulate_grad_batches=1")
    head = trainer.read_text().split("trainer:")[0]
    assert f"configs/trainer/{trainer.name}" in head or "slurm.sh" in head


def test_the_script_of_a_cluster_is_one() -> None:
    script = REPOSITORY / "configs" / "trainer" / "slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    (config,) = re.findall(r"--config (configs/\S+)", script.read_text())
    nodes, devices = (re.findall(rf"--{name}=(\d+)", script.read_text())[0] for name in ("nodes", "ntasks-per-node"))
    trainer = yaml.safe_load((REPOSITORY / config).read_text())["trainer"]
    assert (trainer["num_nodes"], trainer["devices"]) == (int(nodes), int(devices))
