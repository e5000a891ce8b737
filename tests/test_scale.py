"""The plan on paper: the page shows what the program prints, and the program's arithmetic by other ways."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from scale import Plan, plan, told

ROOT = Path(__file__).parents[1]


def number(text: str) -> float:
    return float(text.split()[0].replace(",", ""))


def test_the_page_shows_what_the_program_prints() -> None:
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert page.split("```text\n")[1].split("```")[0].strip() == told(plan(Plan()))


def test_storage_is_that_of_the_shards() -> None:
    """data/README.md: an hour at 112x112 takes 2.7 GB and its sound 115 MB."""
    storage = plan(Plan(hours=1000))["storage"]
    assert number(storage["picture"]) == pytest.approx(2.7, abs=0.05)
    assert number(storage["sound"]) == pytest.approx(0.115, abs=0.01)
    assert number(storage["acoustic embeddings"]) == pytest.approx(216_000 * 1024 * 2 * 1e-9, abs=0.01)


def test_twice_the_gpus_eat_twice_as_much_in_the_same_time() -> None:
    one, two = plan(Plan(gpus=8))["training"], plan(Plan(gpus=16))["training"]
    assert number(two["clips"]) == 2 * number(one["clips"]) == 2 * 8 * 4 / 0.25
    assert two["iterations"].split()[-2:] == one["iterations"].split()[-2:] == ["14.5", "days"]
    assert number(two["an epoch"]) == number(one["an epoch"]) == 135


def test_a_checkpoint_is_weights_average_and_two_moments() -> None:
    told = plan(Plan(parameters=10**9, disk_gb_s=1, failure_days=1))["training"]
    assert number(told["a checkpoint"]) == 16
    assert number(told["save every"]) == pytest.approx((2 * 16 * 86_400) ** 0.5 / 60, abs=0.5)
