import csv

import numpy as np
import pytest

from wav2uti.corpus.formats.video import VideoPicture
from wav2uti.corpus.simulate.corpus import simulate_recording
from wav2uti.metrics.contour import POINTS, find_fan, track
from wav2uti.metrics.contour_scores import distances_to_curve


@pytest.fixture(scope="module")
def simulated():
    return simulate_recording(7, 2, 64, 11)


def errors(exact, tracked):
    """Distance of exact points to the tracked curve, the mean of each frame."""
    return np.array(
        [distances_to_curve(a.astype(float), b.astype(float)).mean() for a, b in zip(exact, tracked, strict=True)]
    )


def test_a_clean_simulated_tongue_is_found_to_half_a_pixel(simulated):
    tracked = track(simulated.frames)
    assert tracked.shape == (len(simulated.frames), POINTS, 2)
    assert tracked.dtype == np.float32
    assert np.isfinite(tracked).all()
    assert (tracked[:, -1, 0] > tracked[:, 0, 0]).all()  # from the rear to the tip
    assert errors(simulated.contour, tracked).mean() < 0.5


def test_blur_and_noise_cost_little(simulated):
    from scipy.ndimage import gaussian_filter

    frames, exact = simulated.frames[:32], simulated.contour[:32]
    blurred = gaussian_filter(frames.astype(float), (0, 2, 2)).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 25, frames.shape)
    noisy = (frames + noise).clip(0, 255).astype(np.uint8)
    assert errors(exact, track(blurred)).mean() < 2
    assert errors(exact, track(noisy)).mean() < 2


def test_the_fan_of_the_simulator_is_found(simulated):
    fan = find_fan(simulated.frames)
    assert fan.x == pytest.approx(31.5, abs=1)
    assert fan.y == pytest.approx(89 / 90 * 64 - 0.5, abs=4)
    assert np.degrees([-fan.left, fan.right]) == pytest.approx([45, 45], abs=12)


def test_twice_the_pixels_give_the_same_curve(simulated):
    large = simulated.frames[:16].repeat(2, axis=1).repeat(2, axis=2)
    small = (track(large) - 0.5) / 2  # the middle of two pixels
    assert errors(track(simulated.frames[:16]), small).mean() < 0.5


def test_no_picture_no_tongue():
    assert np.isnan(track(np.zeros((3, 64, 64), np.uint8))).all()
    assert track(np.zeros((0, 64, 64), np.uint8), find_fan(np.zeros((1, 64, 64), np.uint8))).shape == (0, POINTS, 2)


def test_a_black_frame_among_others_has_no_tongue(simulated):
    frames = simulated.frames[:9].copy()
    frames[4] = 0
    missing = np.isnan(track(frames)).all((1, 2))
    assert missing.tolist() == [t == 4 for t in range(9)]


@pytest.mark.parametrize("size", [32, 256])
def test_small_and_large_frames_and_single_ones(size):
    recording = simulate_recording(3, 0, size, 5)
    tracked = track(recording.frames[10:11])
    assert errors(recording.contour[10:11], tracked)[0] < 1.5 * size / 64


def test_noise_alone_fails_gracefully():
    noise = np.random.default_rng(0).integers(0, 256, (4, 48, 48), dtype=np.uint8)
    tracked = track(noise)
    known = tracked[np.isfinite(tracked)]
    assert ((known > -1) & (known < 48)).all()


@pytest.mark.slow
def test_hand_labelled_tongues(shared):
    """Of all labelled frames, at least 80 % are tracked to 3 % of the width of the picture the reader makes."""
    close = []
    for path in sorted((shared / "aaa_video/labels").glob("*.csv")):
        name = path.name.partition(".")[0]
        picture = VideoPicture(shared / f"aaa_video/{name}.avi", 64, None, False, 0.0)
        frames = np.concatenate([picture.draw(raw) for _, raw in picture.blocks()])
        fan = find_fan(frames)
        with path.open(newline="", encoding="utf-8") as file:
            _, parts, _, *rows = csv.reader(file)
        for row in rows:
            frame = int(row[0].rpartition("img")[2].removesuffix(".png"))
            columns = [c for c in range(1, len(row), 2) if parts[c].startswith("tongue") and row[c]]
            points = np.array([picture.fit.to_pixels(float(row[c]), float(row[c + 1])) for c in columns], dtype=float)
            start = max(frame - 5, 0)
            tracked = track(frames[start : frame + 6], fan)[frame - start]
            close.append(errors([points], [tracked])[0] <= 0.03 * 64)
    assert len(close) >= 120
    assert np.mean(close) >= 0.8
