"""The DNN baseline: shapes, what it hears, and its principal components against numpy's."""

import numpy as np
import pytest
import torch

from wav2uti.baseline.dnn import Dnn
from wav2uti.condition.condition import Condition

CLIPS, FRAMES, WIDTH, SIZE, CONTEXT = 2, 5, 3, 8, 4


def heard(seed: int = 0) -> Condition:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(CLIPS, FRAMES + 2 * CONTEXT, WIDTH, generator=generator)
    return Condition(frames, torch.rand(CLIPS, 1, SIZE, SIZE, generator=generator) * 2 - 1)


@pytest.mark.parametrize("outputs", ["pixels", "pca"])
@pytest.mark.parametrize("reference", [False, True])
def test_shape(outputs, reference):
    net = Dnn(WIDTH, SIZE, reference, hidden=[7, 6], outputs=outputs, components=4)
    assert net(heard(), CONTEXT).shape == (CLIPS, 1, FRAMES, SIZE, SIZE)


@pytest.mark.parametrize("neighbours", [0, 2, CONTEXT])
def test_a_frame_hears_itself_and_its_neighbours_only(neighbours):
    net = Dnn(WIDTH, SIZE, hidden=[9], neighbours=neighbours)
    cond = heard()
    before = net(cond, CONTEXT)
    frames = cond.frames.clone()
    frames[:, CONTEXT + 2] += 1  # the sound of frame 2
    changed = (net(Condition(frames), CONTEXT) != before).flatten(3).any(-1)[0, 0]
    assert changed.tolist() == [abs(k - 2) <= neighbours for k in range(FRAMES)]


def test_the_neighbours_stand_in_the_order_of_time():
    net = Dnn(WIDTH, 1, hidden=[], neighbours=1)
    cond = heard()
    with torch.no_grad():
        net.layers[-1].bias.zero_()
        net.layers[-1].weight.zero_()
        net.layers[-1].weight[0, 0] = 1.0  # the first feature's first neighbour: the frame before
    drawn = net(cond, CONTEXT)[:, 0, :, 0, 0]
    assert torch.equal(drawn, cond.frames[:, CONTEXT - 1 : CONTEXT - 1 + FRAMES, 0])


def test_the_reference_frame_is_seen():
    net = Dnn(WIDTH, SIZE, reference=True, hidden=[9])
    cond = heard()
    assert not torch.equal(net(cond, CONTEXT), net(cond._replace(reference=-cond.reference), CONTEXT))
    with pytest.raises(ValueError, match="reference"):
        net(cond._replace(reference=None), CONTEXT)


def test_too_little_context_is_an_error():
    with pytest.raises(ValueError, match="context"):
        Dnn(WIDTH, SIZE, neighbours=CONTEXT + 1)(heard(), CONTEXT)


def test_components_span_what_numpys_do():
    random = np.random.default_rng(0)
    # Eight directions of falling strength, so that the first four are well apart.
    frames = random.normal(size=(200, 8)) * 2.0 ** -np.arange(8) @ random.normal(size=(8, SIZE * SIZE))
    net = Dnn(WIDTH, SIZE, outputs="pca", components=4)
    assert net.frames_to_fit == 64
    net.fit_to(torch.from_numpy(frames).view(-1, SIZE, SIZE))
    assert net.frames_to_fit == 0
    centred = frames - frames.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    expected = vectors[:, -4:] @ vectors[:, -4:].T
    np.testing.assert_allclose((net.basis.T @ net.basis).numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(net.center.numpy(), frames.mean(0), atol=1e-5)
    assert float(net.scale) == pytest.approx(np.sqrt(values[-4:].mean() / 200), rel=1e-4)


def test_pictures_of_a_pca_network_lie_in_the_span_of_the_components():
    net = Dnn(WIDTH, SIZE, outputs="pca", components=3)
    net.fit_to(torch.randn(48, SIZE, SIZE, generator=torch.Generator().manual_seed(1)))
    pictures = net(heard(), CONTEXT).flatten(3)[0, 0] - net.center
    assert torch.linalg.matrix_rank(torch.cat([net.basis, pictures]).detach(), atol=1e-4) == 3
