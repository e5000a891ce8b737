import json

import numpy as np
import pytest
import torch
from torch import nn

from wav2uti.corpus.readers.aaa import AAAReader
from wav2uti.corpus.simulate.corpus import simulate_recording
from wav2uti.metrics import evaluation
from wav2uti.metrics.evaluation import ClipPlace, Evaluation, by_recording, spread
from wav2uti.metrics.frechet import frechet_distance
from wav2uti.metrics.results import write_results
from wav2uti.metrics.scorers import PIXEL_SCORES, Scorers, find_scorers
from wav2uti.metrics.weights import FOLDER_VARIABLE

FRAMES, SIZE = 9, 16


class TinyVideo(nn.Module):
    """A random video network in the place of I3D: (T, H, W) uint8 to (1, 5)."""

    def __init__(self):
        super().__init__()
        self.weight = torch.randn(5, 4, 3, 3, 3, generator=torch.Generator().manual_seed(0))

    def forward(self, frames, real):
        x = nn.functional.conv3d(frames[None, None].float() / 255, self.weight[:, :1])
        return x.relu().mean((2, 3, 4))


def video(seed, level=100):
    return np.random.default_rng(seed).integers(0, level, (FRAMES, SIZE, SIZE), dtype=np.uint8)


def clips(recordings=6, each=2):
    """(place, speaker, generated, real) of made-up clips."""
    for k in range(recordings):
        for j in range(each):
            yield ClipPlace(f"r{k}", j / each), f"s{k % 2}", video((k, j, 0), 80 + 20 * k), video((k, j, 1))


def filled(scorers, given, keep=3):
    made = Evaluation(scorers, keep)
    for clip in given:
        made.add(*clip)
    made.gather()
    return made


@pytest.fixture
def scorers():
    return Scorers(PIXEL_SCORES, {"video": TinyVideo(), "image": lambda f, real: TinyVideo()(f, real)},
                   ("fvd", "kid"), weights={"i3d": "abc"})  # fmt: skip


def test_scores_levels_and_counts(scorers):
    result = filled(scorers, clips()).result()
    assert {"clips": 12, "recordings": 6, "speakers": 2, "frames": 108, "frames_per_clip": 9, "resolution": [16, 16]} \
        .items() <= result.items()  # fmt: skip
    real = torch.cat([TinyVideo()(torch.from_numpy(clip[3]), True) for clip in clips()])
    generated = torch.cat([TinyVideo()(torch.from_numpy(clip[2]), False) for clip in clips()])
    assert result["scores"]["fvd"] == pytest.approx(frechet_distance(generated, real), rel=1e-6)
    per_clip = [PIXEL_SCORES["rmse"](*map(torch.from_numpy, clip[2:])).item() for clip in clips()]
    assert result["scores"]["rmse"] == pytest.approx(np.mean(per_clip))
    assert result["per_recording"]["r1"]["rmse"] == pytest.approx(np.mean(per_clip[2:4]))
    assert set(result["scores"]) == set(result["intervals"]) == {"rmse", "psnr", "ssim", "fvd", "kid"}
    for name, (low, high) in result["intervals"].items():
        assert low <= result["scores"][name] <= high
    assert 0 < result["levels"]["fvd_real_halves"] < result["scores"]["fvd"]
    assert result["levels"]["fvd_real_halves_clips"] == 6
    assert set(result["seconds"]) == {"rmse", "psnr", "ssim", "fvd", "kid"}
    assert result["weights"] == {"i3d": "abc"}
    assert json.loads(json.dumps(result)) == result


def test_order_and_repetition_leave_no_trace(scorers):
    given = list(clips())
    first, second = filled(scorers, given), filled(scorers, [*given[::-1], *given[:5]])
    a, b = first.result(), second.result()
    a.pop("seconds"), b.pop("seconds")
    assert a == b
    assert list(first.samples) == list(second.samples)


def test_a_perfect_generator(scorers):
    result = filled(scorers, ((place, who, real, real) for place, who, _, real in clips())).result()
    assert result["scores"]["fvd"] == pytest.approx(0, abs=1e-9)
    assert result["scores"]["rmse"] == 0
    assert result["intervals"]["rmse"] == [0, 0]
    assert result["intervals"]["fvd"][0] == 0


def test_few_recordings_have_fewer_intervals(scorers):
    result = filled(scorers, clips(3)).result()
    assert set(result["intervals"]) == {"rmse", "psnr", "ssim"}
    result = filled(scorers, clips(1, 1)).result()
    assert result["intervals"] == result["levels"] == {}
    assert "two clips" in result["missing"]["fvd"]
    assert "fvd" not in result["scores"]


def test_a_score_that_refuses_the_clips_is_missing_with_its_reason(scorers):
    def refuses(frames, real):
        raise ValueError("FVD needs more frames")

    small = [(p, s, g[:, :8, :8], r[:, :8, :8]) for p, s, g, r in clips()]
    result = filled(Scorers(PIXEL_SCORES, {"video": refuses}, ("fvd",)), small).result()
    assert set(result["scores"]) == {"rmse", "psnr"}
    assert "11x11" in result["missing"]["ssim"]
    assert result["missing"]["fvd"] == "FVD needs more frames"
    assert set(result["per_recording"]["r0"]) == {"rmse", "psnr"}


def test_samples_are_spread_over_recordings_and_written(scorers, tmp_path):
    made = filled(scorers, clips(), keep=8)
    assert len({place.recording for place in made.samples}) == 6
    write_results(tmp_path / "m.json", made.result(), made.samples,
                  simulated=True, checkpoint=None, task={}, config={"bad": float("nan"), "path": tmp_path})  # fmt: skip
    with np.load(tmp_path / "samples.npz") as arrays:
        assert arrays["generated"].shape == arrays["real"].shape == (8, FRAMES, SIZE, SIZE)
        given = {place: (generated, real) for place, _, generated, real in clips()}
        for k, place in enumerate(zip(arrays["ids"].tolist(), arrays["progress"].tolist(), strict=True)):
            np.testing.assert_array_equal(arrays["generated"][k], given[place][0])
            np.testing.assert_array_equal(arrays["real"][k], given[place][1])
        assert arrays["simulated"]
        assert arrays["fps"] == 60
    assert json.loads((tmp_path / "m.json").read_text())["config"] == {"bad": None, "path": str(tmp_path)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.json", "samples.npz"]


def test_clips_are_chosen_alike_from_all_and_from_parts():
    places = [ClipPlace(f"r{k}", j / 10) for k in range(5) for j in range(k + 1)]
    for keep in (1, 4, 7, 15):
        whole = spread(places, keep)
        assert spread([*spread(places[::2], keep), *spread(places[1::2], keep)], keep) == whole
        assert len({place.recording for place in whole}) == min(keep, 5)


def test_longer_clips_weigh_more_in_their_recording():
    long, short = (evaluation.ScoredClip(None, n, (8, 8), {"rmse": v}) for n, v in ((3, 1.0), (1, 5.0)))
    assert by_recording({ClipPlace("a", 0): long, ClipPlace("a", 0.5): short}) == {"a": {"rmse": 2.0}}


def test_without_weights_the_rest_is_scored(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    found = find_scorers(lpips=("squeeze", "alex"))
    assert set(found.clip) == {"rmse", "psnr", "ssim"}
    assert set(found.missing) == {"lpips_squeeze", "lpips_alex", "fid", "kid", "fvd"}
    assert all(str(tmp_path) in sentence for sentence in found.missing.values())
    assert found.contour
    assert find_scorers(lpips=(), fid=False, kid=False, fvd=False).missing == {}


def black_against(frames):
    """Scores of an all-black video of real frames."""
    made = Evaluation(find_scorers(uint8_wrapped=True, lpips=(), fid=False, kid=False, fvd=False, contour=False))
    made.add(ClipPlace("a", 0.0), None, np.zeros_like(frames), frames)
    return made.result()["scores"]


@pytest.mark.parametrize("name", ["spline_test_token2", "tongue_data_1_1"])
def test_a_black_video_scores_like_a_model_where_uint8_wraps(shared, name):
    """The published figures are 32.87 dB and 5.81: a video without any picture in it has them, too."""
    (candidate,) = AAAReader().find(shared / "aaa_patkit" / name)
    scores = black_against(candidate.reader.read(candidate, 112).frames)
    assert scores["psnr_uint8_wrapped"] > 32
    assert scores["rmse_uint8_wrapped"] < 6
    assert scores["psnr"] < 22
    assert scores["rmse"] > 20


def test_the_wrapped_scores_of_a_simulated_fan():
    scores = black_against(simulate_recording(0, 0, 112, 0).frames[:16])
    assert scores["psnr_uint8_wrapped"] > scores["psnr"] + 15
    assert scores["psnr"] < 15
