import csv
import math

import numpy as np
import pytest

from wav2uti.metrics.contour_scores import (
    contour_scores,
    height_errors,
    mean_sum_of_distances,
    scores_of,
    tip_errors,
    velocity_correlation,
    write_contour_csv,
)


def arc(radius, first=-50.0, last=50.0, points=50, centre=(32.0, 60.0)):
    """Arcs about a centre, one a radius: (T, points, 2)."""
    angle = np.radians(np.linspace(first, last, points))
    direction = np.stack([np.sin(angle), -np.cos(angle)], axis=-1)
    return np.asarray(radius, float)[:, None, None] * direction + np.asarray(centre)


def moving(count=40, mean=30.0, swing=4.0):
    return arc(mean + swing * np.sin(np.arange(count) / 3))


def test_distance_of_concentric_arcs_is_the_difference_of_their_radii():
    # Chords of the polygon lie 0.3 thousandths of the radius inside the arc.
    assert mean_sum_of_distances(arc([30, 20]), arc([33, 20])) == pytest.approx([3, 0], abs=0.02)


def test_distance_is_symmetric_and_ignores_the_spacing():
    a, b = arc([30.0]), arc([33.0], points=17)
    assert mean_sum_of_distances(a, b) == pytest.approx(mean_sum_of_distances(b, a))
    assert mean_sum_of_distances(arc([30.0], points=99), a) == pytest.approx([0], abs=0.02)


def test_distance_counts_what_one_side_alone_has():
    a = np.stack([np.linspace(0, 10, 11), np.zeros(11)], -1)[None]
    b = np.stack([np.linspace(0, 20, 21), np.zeros(21)], -1)[None]
    assert mean_sum_of_distances(a, b).item() == pytest.approx(sum(range(1, 11)) / 32)


def test_height_and_tip_of_a_shift():
    real = moving(3)
    assert height_errors(real + np.array([2, -3]), real) == pytest.approx([3, 3, 3])
    assert tip_errors(real + np.array([3, 4]), real) == pytest.approx([5, 5, 5])


def test_a_radial_shift_is_centred_away():
    real = moving()
    scores = contour_scores(arc(33 + 4 * np.sin(np.arange(40) / 3)), real, mm_per_pixel=0.5)
    assert scores["contour_mm"] == pytest.approx(1.5, abs=0.02)
    assert scores["contour_mm_centred"] < 0.1
    assert scores["velocity_correlation"] > 0.99


def test_a_moved_probe_is_nearly_centred_away():
    real = moving()
    scores = contour_scores(real + np.array([1, 3]), real)
    assert scores["contour_px"] > 1.5
    assert scores["contour_px_centred"] < 0.1 * scores["contour_px"]


def test_the_mean_shape_scores_its_deviation():
    """A generated tongue that stands still: centred, it is as far off as the real one moves."""
    real = moving(188)
    still = arc(np.full(188, 25.0))
    scores = contour_scores(still, real)
    expected = np.abs(4 * np.sin(np.arange(188) / 3)).mean()
    assert scores["contour_px_centred"] == pytest.approx(expected, rel=0.1)
    assert math.isnan(scores["velocity_correlation"])


def test_opposite_movement_is_correlated_negatively():
    assert velocity_correlation(moving(swing=-4), moving()) < -0.95
    assert velocity_correlation(moving(), moving()) == pytest.approx(1)


def test_centring_is_over_all_clips_of_a_speaker():
    real = [moving(), moving()]
    generated = [arc(34 + 4 * np.sin(np.arange(40) / 3)), arc(26 + 4 * np.sin(np.arange(40) / 3))]
    apart = scores_of(generated, real, ["a", "b"], [1.0, None])
    together = scores_of(generated, real, ["a", "a"], [1.0, 1.0])
    assert apart[0]["contour_mm_centred"] < 0.1
    assert apart[1]["contour_px_centred"] < 0.1
    assert [s["contour_mm_centred"] for s in together] == pytest.approx([4, 4], rel=0.1)


def test_different_extents_do_not_disturb_the_centred_score():
    real = moving()
    short = arc(33 + 4 * np.sin(np.arange(40) / 3), first=-30, last=40, points=31)
    assert contour_scores(short, real)["contour_px_centred"] < 0.15


def test_missing_points_and_frames_are_left_out():
    real, generated = moving(), moving() + np.array([0, 2])
    whole = contour_scores(generated, real)
    generated = np.concatenate([generated, np.full((40, 5, 2), np.nan)], axis=1)
    assert contour_scores(generated, real) == pytest.approx(whole)
    generated[7] = np.nan
    assert np.isnan(mean_sum_of_distances(generated, real)).tolist() == [t == 7 for t in range(40)]
    assert all(np.isfinite(list(contour_scores(generated, real).values())))
    nothing = contour_scores(np.full((4, 50, 2), np.nan), real[:4])
    assert all(math.isnan(value) for value in nothing.values())


def test_unequal_clips_are_refused():
    with pytest.raises(ValueError, match="3 and 2 frames"):
        mean_sum_of_distances(moving(3), moving(2))
    with pytest.raises(ValueError, match="equally long"):
        scores_of([moving(3)], [], [], [])


def test_csv_has_a_row_for_each_known_point(tmp_path):
    contours = moving(2).astype(np.float32)
    contours[1, 3:] = np.nan
    write_contour_csv(tmp_path / "contour.csv", contours, 60.0, source="SIMULATED")
    with (tmp_path / "contour.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 53
    assert [list(row) for row in rows[:1]] == [["frame", "time", "x", "y", "source"]]
    assert {row["source"] for row in rows} == {"SIMULATED"}
    assert {row["frame"] for row in rows[50:]} == {"1"}
    assert float(rows[-1]["time"]) == pytest.approx(1 / 60, abs=1e-6)
    assert [float(rows[-1]["x"]), float(rows[-1]["y"])] == pytest.approx(contours[1, 2].tolist(), abs=1e-3)
