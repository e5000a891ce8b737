"""The model in the box: it is small, says that it is simulated, and draws the tongue of its example where it is."""

import json

import numpy as np
import pytest

from wav2uti.corpus.shards import Shard
from wav2uti.metrics.contour import track
from wav2uti.metrics.contour_scores import contour_scores
from wav2uti.pretrained import EXAMPLE, FOLDER, MODEL, REFERENCE
from wav2uti.video.predictor import load

[SENTENCE] = Shard(EXAMPLE).ids


def test_it_is_small() -> None:
    assert (FOLDER / "model.safetensors").stat().st_size <= 15_000_000
    assert EXAMPLE.stat().st_size + REFERENCE.stat().st_size <= 1_000_000


def test_it_says_that_it_is_simulated() -> None:
    config = json.loads((FOLDER / "config.json").read_text())
    assert config["facts"]["simulated"] is True
    assert "SIMULATED" in (FOLDER / "README.md").read_text()
    assert Shard(EXAMPLE).simulated


@pytest.mark.slow
def test_it_draws_the_tongue_where_it_is() -> None:
    example = Shard(EXAMPLE).recording(SENTENCE)
    frames = load(MODEL, "cpu").generate(example.audio, reference=example.reference)
    assert frames.shape == example.frames.shape
    drawn = track(frames)
    resting = np.broadcast_to(track(example.reference[None]), drawn.shape)
    error, still = (
        contour_scores(contour, example.contour, mm_per_pixel=example.mm_per_pixel)["contour_mm"]
        for contour in (drawn, resting)
    )
    assert error < 0.6 * still  # the tongue at rest is what a model that does not listen could draw
