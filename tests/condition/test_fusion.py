"""The fusion listens to what it should and to nothing else."""

import pytest
import torch

from wav2uti.condition.condition import Condition, concatenate
from wav2uti.condition.fusion import Fusion, LayerMix, NullAcoustic, sinusoids


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


def test_no_text_is_like_empty_text(inputs: dict[str, torch.Tensor]) -> None:
    fusion = Fusion(10, 6, width=32, heads=4).eval()
    empty = fusion(inputs["acoustic"], torch.zeros(2, 0, 6), torch.zeros(2, 0, dtype=torch.bool), inputs["progress"])
    assert torch.equal(empty, fusion(inputs["acoustic"], None, None, inputs["progress"]))


def test_one_recording_without_text_changes_nothing_for_the_other(inputs: dict[str, torch.Tensor]) -> None:
    fusion = Fusion(10, 6, width=32, heads=4).eval()
    before = fusion(**inputs)
    inputs["text_mask"] = inputs["text_mask"].clone()
    inputs["text_mask"][1] = False
    after = fusion(**inputs)
    assert torch.allclose(before[0], after[0], atol=1e-5)
    assert torch.isfinite(after).all()


def test_places_default_to_an_even_spread(inputs: dict[str, torch.Tensor]) -> None:
    fusion = Fusion(10, 6, width=32, heads=4).eval()
    places = torch.tensor([[0.1, 0.3, 0.5, 0.7, 0.9], [1 / 6, 3 / 6, 5 / 6, 0, 0]])
    assert torch.allclose(fusion(**inputs), fusion(**inputs, text_places=places), atol=1e-5)
    places[0, 2] = 0.6
    moved = fusion(**inputs, text_places=places)
    assert not torch.allclose(fusion(**inputs)[0], moved[0], atol=1e-5)
    assert torch.allclose(fusion(**inputs)[1], moved[1], atol=1e-5)


def test_layers_begin_with_equal_weights() -> None:
    mix = LayerMix(12, 3)
    layers = torch.randn(3, 2, 5, 4)
    variance, mean = torch.var_mean(layers, dim=-1, keepdim=True, unbiased=False)
    expected = ((layers - mean) / (variance + 1e-5).sqrt()).mean(dim=0)
    torch.testing.assert_close(mix(torch.cat([*layers], dim=-1)), expected)


def test_a_layer_may_take_all_the_weight_and_its_size_does_not_matter() -> None:
    mix = LayerMix(12, 3)
    with torch.no_grad():
        mix.scores[1] = 50.0
    x = torch.randn(2, 5, 12)
    louder = x.unflatten(-1, (3, 4)) * torch.tensor([9.0, 100.0, 0.1])[:, None]
    torch.testing.assert_close(mix(x), mix(louder.flatten(-2)), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(mix(x), torch.nn.functional.layer_norm(x[..., 4:8], (4,)))


def test_mix_and_fusion_learn_and_the_embeddings_do_not(inputs: dict[str, torch.Tensor]) -> None:
    fusion = Fusion(10, 6, acoustic_layers=2, width=32, heads=4)
    fused = fusion(**inputs)
    assert fused.shape == (2, 16, 32)
    (fused * torch.randn_like(fused)).sum().backward()
    assert {name for name, p in fusion.named_parameters() if p.grad is None} == {"null"}
    assert fusion.mix is not None
    assert fusion.mix.scores.grad is not None
    assert fusion.mix.scores.grad.abs().min() > 0
    assert not any(tensor.requires_grad for tensor in inputs.values())


def test_layers_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="width 10 is no multiple of their 3 layers"):
        Fusion(10, 6, acoustic_layers=3)


def test_one_layer_has_no_weights_of_layers() -> None:
    assert not any(name.startswith("mix") for name, _ in Fusion(10, 6).named_parameters())


def test_the_null_vector_stands_for_dropped_sound() -> None:
    null = NullAcoustic(3)
    sound = torch.ones(2, 4, 3)
    left = null(sound, torch.tensor([True, False]))
    assert torch.equal(left[0], null.vector.expand(4, 3))
    assert torch.equal(left[1], sound[1])
