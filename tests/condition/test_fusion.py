"""The fusion listens to what it should and to nothing else."""

import pytest
import torch

from wav2uti.condition.condition import Condition, concatenate
from wav2uti.condition.fusion import Fusion, sinusoids


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "acoustic": torch.randn(2, 16, 10),
        "text": torch.randn(2, 5, 6),
        "text_mask": torch.tensor([[True] * 5, [True] * 3 + [False] * 2]),
        "progress": torch.linspace(0, 1, 16).expand(2, 16),
    }


def test_one_vector_a_frame(inputs: dict[str, torch.Tensor]) -> None:
    fused = Fusion(10, 6, width=32, heads=4)(**inputs)
    assert fused.shape == (2, 16, 32)
    assert torch.isfinite(fused).all()


def test_padding_is_not_seen(inputs: dict[str, torch.Tensor]) -> None:
    fusion = Fusion(10, 6, width=32, heads=4).eval()
    before = fusion(**inputs)
    inputs["text"][1, 3:] = 1e3
    assert torch.allclose(before, fusion(**inputs), atol=1e-5)
    inputs["text"][1, 0] += 1
    assert not torch.allclose(before[1], fusion(**inputs)[1], atol=1e-5)


def test_more_padding_changes_nothing(inputs: dict[str, torch.Tensor]) -> None:
    fusion = Fusion(10, 6, width=32, heads=4).eval()
    before = fusion(**inputs)
    inputs["text"] = torch.nn.functional.pad(inputs["text"], (0, 0, 0, 4))
    inputs["text_mask"] = torch.nn.functional.pad(inputs["text_mask"], (0, 4))
    assert torch.allclose(before, fusion(**inputs), atol=1e-5)


def test_sound_alone_is_the_same_module_without_text(inputs: dict[str, torch.Tensor]) -> None:
    with_text, without = Fusion(10, 6, width=32, heads=4), Fusion(10, None, width=32, heads=4)
    names = {name for name, _ in with_text.named_parameters() if not name.startswith("attention.")}
    assert names == {name for name, _ in without.named_parameters()}
    assert without(inputs["acoustic"], None, None, inputs["progress"]).shape == (2, 16, 32)


def test_empty_text_is_like_no_real_token(inputs: dict[str, torch.Tensor]) -> None:
    fusion = Fusion(10, 6, width=32, heads=4).eval()
    empty = fusion(inputs["acoustic"], torch.zeros(2, 0, 6), torch.zeros(2, 0, dtype=torch.bool), inputs["progress"])
    masked = fusion(inputs["acoustic"], inputs["text"], torch.zeros(2, 5, dtype=torch.bool), inputs["progress"])
    assert torch.allclose(empty, masked, atol=1e-5)
    assert torch.isfinite(empty).all()


def test_order_of_tokens_matters(inputs: dict[str, torch.Tensor]) -> None:
    fusion = Fusion(10, 6, width=32, heads=4).eval()
    before = fusion(**inputs)
    inputs["text"] = inputs["text"].flip(1)
    assert not torch.allclose(before[0], fusion(**inputs)[0], atol=1e-4)


def test_drop_replaces_whole_clips() -> None:
    fusion = Fusion(10, None, width=8, heads=2)
    fused = torch.ones(3, 4, 8)
    dropped = fusion.drop(fused, torch.tensor([False, True, False]))
    assert torch.equal(dropped[0], fused[0])
    assert torch.equal(dropped[1], fusion.null.expand(4, 8))


def test_sinusoids_tell_neighbouring_frames_apart() -> None:
    places = torch.tensor([0.5, 0.5 + 1 / 180])  # one frame of a three-second sentence
    codes = sinusoids(places, 64)
    assert codes.shape == (2, 64)
    assert (codes[0] - codes[1]).norm() > 1


def test_concatenate_refuses_a_mixture() -> None:
    frames, reference = torch.zeros(1, 2, 3), torch.zeros(1, 1, 4, 4)
    joined = concatenate(Condition(frames, reference), Condition(frames, reference))
    assert joined.frames.shape == (2, 2, 3)
    assert joined.reference is not None
    assert joined.reference.shape == (2, 1, 4, 4)
    with pytest.raises(ValueError, match="reference"):
        concatenate(Condition(frames, reference), Condition(frames))
