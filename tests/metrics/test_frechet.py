import os
import time

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn
from torch.nn import functional as F
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from wav2uti.metrics import weights
from wav2uti.metrics.frechet import (
    FID,
    FVD,
    KID,
    cached_features,
    features_key,
    frame_features,
    frechet_distance,
    kernel_distance,
    video_features,
)
from wav2uti.metrics.i3d import load_i3d
from wav2uti.metrics.inception import load_inception
from wav2uti.metrics.weights import sha256_of


class Brightness(nn.Module):
    """A few plain features in the place of a trained network: takes uint8 (N, 3, H, W)."""

    def forward(self, frames):
        x = frames.float() / 255
        return torch.stack([x.mean((1, 2, 3)), x.std((1, 2, 3)), x[:, 0, 0, 0], x[:, 1, -1, -1]], 1)


def correlated(n, d, seed=0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=generator, dtype=torch.float64) / d**0.5
    return torch.randn(n, d, generator=generator, dtype=torch.float64) @ mix + shift


def by_sqrtm(a, b):
    a, b = a.double().numpy(), b.double().numpy()
    difference = a.mean(0) - b.mean(0)
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(ca @ cb)
    return float(difference @ difference + np.trace(ca) + np.trace(cb) - 2 * np.trace(root.real))


@pytest.mark.parametrize(("n", "m", "d"), [(300, 250, 40), (60, 300, 40), (41, 41, 40)])
def test_distance_is_that_of_scipys_square_root(n, m, d):
    a, b = correlated(n, d), correlated(m, d, seed=1, shift=0.3)
    assert frechet_distance(a, b) == pytest.approx(by_sqrtm(a, b), rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_distance_of_singular_covariances():
    """Fewer rows than features: in the span of all rows nothing is lost, and there the square root is as good."""
    a, b = correlated(12, 100), correlated(20, 100, seed=1)
    basis = torch.linalg.qr(torch.cat([a, b]).T).Q  # (100, 32)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(a @ basis, b @ basis), rel=1e-9)
    assert frechet_distance(a, b) == pytest.approx(by_sqrtm(a, b), rel=1e-3)


def test_distance_of_diagonal_gaussians_in_closed_form():
    """Samples with exact moments: means 0 and m, standard deviations s and t: |m|^2 + sum (s - t)^2."""
    d = 5
    signs = torch.tensor(scipy.linalg.hadamard(8), dtype=torch.float64)[:, 1 : d + 1] * (7 / 8) ** 0.5
    s, t, m = torch.arange(1.0, d + 1), torch.tensor([2.0, 1, 0, 5, 5]), torch.linspace(-1, 1, d)
    expected = (m**2).sum() + ((s - t) ** 2).sum()
    assert frechet_distance(signs * s, signs * t + m) == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(("n", "d"), [(10, 400), (500, 40)])
def test_zero_for_identical_sets(n, d):
    a = correlated(n, d).float() * 10 + 100
    assert frechet_distance(a, a.flip(0)) <= 1e-6
    assert frechet_distance(a, a + 1) == pytest.approx(d, rel=1e-5)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_refused_features(distance):
    good = correlated(4, 3)
    for bad in (good[:1], good[:, :2], good[0], good.clone().fill_(torch.nan)):
        with pytest.raises(ValueError):
            distance(good, bad)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_growing_shift(distance):
    a, b = correlated(50, 10), correlated(50, 10)
    values = [distance(a, b + shift) for shift in (0, 0.2, 0.5, 1, 3)]
    assert values == sorted(values)
    assert len(set(values)) == 5


def test_kernel_distance_is_unbiased():
    """Over many pairs of small sets from one distribution the mean is 0, within 4 standard errors."""
    torch.manual_seed(0)
    values = [kernel_distance(torch.randn(8, 4), torch.randn(5, 4)) for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 20


def frames_of(seed, count=24, shift=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(shift, 200 + shift, (count, 12, 14), dtype=torch.uint8, generator=generator)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_fid_and_kid_are_those_of_torchmetrics():
    """On the same features; torchmetrics's KID over one subset of all frames is ours."""
    real, generated = frames_of(0), frames_of(1, shift=20)
    rgb = [x[:, None].expand(-1, 3, -1, -1) for x in (real, generated)]
    network = Brightness()
    network.num_features = 4
    fid = FrechetInceptionDistance(feature=network).set_dtype(torch.float64)
    kid = KernelInceptionDistance(feature=network, subsets=1, subset_size=len(real))
    ours = FID(Brightness()), KID(Brightness())
    for theirs in (fid, kid):
        theirs.update(rgb[0], real=True)
        theirs.update(rgb[1], real=False)
    for metric in ours:
        for frames, side in ((real, True), (generated, False)):
            metric.update(frames[:12].view(3, 1, 4, 12, 14), real=side)
            metric.update(frames[12:].view(3, 4, 12, 14), real=side)
    assert ours[0].compute().item() == pytest.approx(fid.compute().item(), rel=1e-3)
    assert ours[1].compute().item() == pytest.approx(kid.compute()[0].item(), rel=1e-3)
    features = [frame_features(network, x) for x in (generated, real)]
    assert ours[0].compute().item() == pytest.approx(frechet_distance(*features))
    assert ours[1].compute().item() == pytest.approx(kernel_distance(*features))


@pytest.mark.slow
def test_inception_is_that_of_torch_fidelity(tmp_path, monkeypatch):
    """Random weights in a file that is taken for the published one: the way of loading, and the 2048 features."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with monkeypatch.context() as patch:
        patch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        oracle = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    for module in oracle.modules():
        if isinstance(module, nn.Conv2d):  # torch's own start lets the signal die in so many layers
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    entry = weights.PUBLISHED["fid"]
    file = tmp_path / entry.files[0]
    torch.save(oracle.state_dict(), file)
    monkeypatch.setitem(weights.PUBLISHED, "fid", entry._replace(sha256=sha256_of(file)[:8]))
    network, sha256 = load_inception(file)
    assert sha256 == sha256_of(file)
    frames = frames_of(0, 3)
    expected = oracle(frames[:, None].expand(-1, 3, -1, -1))[0]
    assert expected.std() > 1e-2
    torch.testing.assert_close(frame_features(network, frames), expected, rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def i3d(shared):
    path = shared / "weights" / "i3d-kinetics-400"
    if not path.is_dir():
        pytest.skip("no weights of I3D")
    return load_i3d(path)[0]


@pytest.fixture(scope="module")
def tongues():
    """9 simulated clips of 9 frames 48x48, from three recordings of three speakers."""
    from wav2uti.corpus.simulate import simulate_recording

    recordings = [simulate_recording(speaker, 0, 48, seed=3) for speaker in range(3)]
    return torch.stack([torch.from_numpy(r.frames)[start : start + 9] for r in recordings for start in (0, 19, 39)])


@pytest.fixture(scope="module")
def real_features(i3d, tongues):
    return video_features(i3d, tongues)


def noisy(clips, deviation):
    noise = deviation * torch.randn(clips.shape, generator=torch.Generator().manual_seed(0))
    return (clips + noise).round().clamp(0, 255).byte()


def blurred(clips, width):
    return F.avg_pool2d(clips.float(), width, 1, width // 2, count_include_pad=False).round().byte()


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "levels"), [(noisy, (4, 12, 36)), (blurred, (3, 7, 13))])
def test_fvd_grows_with_noise_and_blur(i3d, tongues, real_features, spoil, levels):
    features = [video_features(i3d, spoil(tongues, level)) for level in levels]
    values = [frechet_distance(x, real_features) for x in (real_features, *features)]
    assert values[0] <= 1e-3
    assert values == sorted(values)
    assert values[1] > 0.1
    for x, value in zip(features, values[1:], strict=True):
        assert value == pytest.approx(by_sqrtm(x, real_features), rel=1e-3)


@pytest.mark.slow
def test_fvd_class_is_the_function(i3d, tongues, real_features):
    metric = FVD(i3d)
    metric.update(tongues[:2, None], real=False)
    metric.update(tongues[2:4], real=True)
    expected = frechet_distance(real_features[:2], real_features[2:4])
    assert metric.compute().item() == pytest.approx(expected, rel=1e-6)


def test_clips_that_fvd_refuses(i3d):
    with pytest.raises(ValueError, match="at least 9 frames"):
        video_features(i3d, torch.zeros(1, 8, 16, 16, dtype=torch.uint8))
    with pytest.raises(ValueError, match="uint8"):
        video_features(i3d, torch.zeros(1, 9, 16, 16))


def test_cache_computes_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return torch.arange(6.0).view(2, 3)

    key = features_key(frames_of(0), "abc")
    first = cached_features(tmp_path / "new" / "folder", key, compute)
    second = cached_features(tmp_path / "new" / "folder", key, compute)
    assert torch.equal(first, second)
    assert second.dtype == torch.float32
    assert len(calls) == 1


def test_key_depends_on_bytes_shape_and_weights():
    frames = frames_of(0)
    changed = frames.clone()
    changed[3, 2, 1] ^= 1
    keys = [
        features_key(frames, "a"),
        features_key(frames, "b"),
        features_key(changed, "a"),
        features_key(frames.view(2, 12, 12, 14), "a"),
    ]
    assert len(set(keys)) == 4
    assert features_key(frames.clone(), "a") == keys[0]
    assert features_key(torch.stack([frames, frames], -1)[..., 0], "a") == keys[0]  # the memory layout is no difference


@pytest.mark.parametrize("content", [b"", b"junk", b"\x93NUMPY\x01\x00v\x00{"])
def test_broken_cache_file_is_computed_anew(tmp_path, content):
    (tmp_path / "k.npy").write_bytes(content)
    assert cached_features(tmp_path, "k", lambda: torch.ones(2, 2)).tolist() == [[1, 1], [1, 1]]
    assert np.load(tmp_path / "k.npy").tolist() == [[1, 1], [1, 1]]


def test_truncated_cache_file_is_computed_anew(tmp_path):
    cached_features(tmp_path, "k", lambda: torch.ones(20, 20))
    whole = (tmp_path / "k.npy").read_bytes()
    (tmp_path / "k.npy").write_bytes(whole[:-100])
    assert cached_features(tmp_path, "k", lambda: torch.zeros(20, 20)).sum() == 0


def test_cache_forgets_the_oldest(tmp_path):
    one = 4 * 256 + 128  # bytes of a file
    now = time.time()
    (tmp_path / ".killed.npy").write_bytes(bytes(100))
    os.utime(tmp_path / ".killed.npy", (now - 99, now - 99))
    for age, key in ((30, "a"), (20, "b"), (10, "c")):
        cached_features(tmp_path, key, lambda: torch.ones(256), limit=3 * one)
        os.utime(tmp_path / f"{key}.npy", (now - age, now - age))
    cached_features(tmp_path, "d", lambda: torch.ones(256), limit=2 * one)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.npy", "d.npy"]


def test_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    assert cached_features(tmp_path / "file", "k", lambda: torch.ones(2)).tolist() == [1, 1]


def test_failing_computation_leaves_no_file(tmp_path):
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cached_features(tmp_path, "k", fail)
    assert list(tmp_path.iterdir()) == []
