import numpy as np
import pytest

from wav2uti.metrics.clip_contours import Contours, score_contours, track_both


def arc(shift=0.0, frames=6, height=0.0):
    """A rounded contour that moves up and down."""
    x = np.linspace(8, 40, 50)
    y = 20 + 0.02 * (x - 24) ** 2 + 2 * np.sin(np.arange(frames))[:, None] + height
    return np.stack([np.broadcast_to(x + shift, y.shape), y], axis=-1).astype(np.float32)


def test_names_units_and_levels():
    """The generated contour lies 4 pixels too low, the tracked real one 1 pixel; all by closed form."""
    clip = Contours(arc(height=4), arc(height=1), arc(), 0.5)
    (values,) = score_contours({"a": [clip, clip]}, {"a": "ann"}).values()
    assert set(values) == {
        "contour_mm", "contour_mm_centred", "tongue_height_mm", "tongue_tip_mm", "velocity_correlation",
        "contour_mm_exact", "contour_mm_exact_centred", "contour_mm_exact_of_real", "contour_mm_exact_centred_of_real",
    }  # fmt: skip
    assert values["tongue_height_mm"] == pytest.approx(1.5, rel=1e-4)
    assert values["tongue_tip_mm"] == pytest.approx(1.5, rel=1e-4)
    assert 1.2 < values["contour_mm"] < 1.5  # the nearest place lies aside of the one below
    assert 1.6 < values["contour_mm_exact"] < 2.0
    assert 0.4 < values["contour_mm_exact_of_real"] < 0.5
    assert values["contour_mm_centred"] < 0.15
    assert values["velocity_correlation"] > 0.95


def test_one_clip_without_a_scale_makes_all_of_them_pixels():
    scaled, unscaled = Contours(arc(height=2), arc(), None, 0.5), Contours(arc(height=2), arc(), None, None)
    values = score_contours({"a": [scaled], "b": [unscaled]}, {"a": "ann", "b": None})
    assert values["a"]["tongue_height_px"] == values["b"]["tongue_height_px"] == pytest.approx(2, rel=1e-4)
    assert not any("mm" in name or "exact" in name for name in values["a"])


def test_centring_is_by_speaker():
    """Two recordings of one speaker off in opposite directions keep their error; of two speakers they do not."""
    recordings = {"a": [Contours(arc(height=3), arc(), None, 1.0)], "b": [Contours(arc(height=-3), arc(), None, 1.0)]}
    same = score_contours(recordings, {"a": "ann", "b": "ann"})
    other = score_contours(recordings, {"a": "ann", "b": "bob"})
    assert same["a"]["contour_mm_centred"] > 2
    assert other["a"]["contour_mm_centred"] < 0.2
    assert same["a"]["contour_mm"] == other["a"]["contour_mm"]


def test_clips_without_a_tongue():
    nothing = np.full((6, 50, 2), np.nan, np.float32)
    found, lost = Contours(arc(height=2), arc(), None, 1.0), Contours(nothing, arc(), None, 1.0)
    values = score_contours({"a": [found, lost], "b": [lost]}, {"a": None, "b": None})
    assert values["a"]["tongue_height_mm"] == pytest.approx(2, rel=1e-4)
    assert values["b"] == {}
    with pytest.raises(ValueError, match="No tongue"):
        score_contours({"b": [lost]}, {"b": None})


def test_a_longer_clip_weighs_more():
    long = Contours(arc(height=1, frames=9), arc(frames=9), None, 1.0)
    short = Contours(arc(height=5, frames=3), arc(frames=3), None, 1.0)
    values = score_contours({"a": [long, short]}, {"a": None})
    assert values["a"]["tongue_height_mm"] == pytest.approx((9 * 1 + 3 * 5) / 12, rel=1e-4)


def test_both_sides_are_tracked_in_the_fan_of_the_real_frames():
    y, x = np.mgrid[:48, :48]
    radius, angle = np.hypot(x - 23.5, 47 - y), np.arctan2(x - 23.5, 47 - y)
    frame = 220 * np.exp(-((radius - 28) ** 2) / 4) + 60 * (radius < 28)
    real = np.repeat((frame * (radius > 8) * (radius < 44) * (abs(angle) < 0.75))[None], 6, 0).astype(np.uint8)
    contours = track_both(real, real, None, 1.0)
    np.testing.assert_array_equal(contours.generated, contours.real)
    assert np.nanmean(np.abs(np.hypot(contours.real[..., 0] - 23.5, 47 - contours.real[..., 1]) - 28)) < 1.5
