"""The U-Net: its shapes, its size, that each of its inputs is used, and what its attention sees."""

from typing import Any

import pytest
import torch

from wav2uti.condition.condition import Condition
from wav2uti.diffusion.unet import UNet


def tiny(**options: object) -> UNet:
    torch.manual_seed(0)
    net = UNet(8, **{"channels": 16, "multipliers": (1, 2), "blocks": 1, **options})  # type: ignore[arg-type]
    for parameter in net.parameters():  # the zero-initialised layers too
        torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


def call(net: UNet, x: torch.Tensor, **changes: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(1)
    clips, frames, size = x.shape[0], x.shape[2], x.shape[3]
    cond = torch.randn(clips, frames, 8)
    reference = torch.randn(clips, 1, size, size)
    out: torch.Tensor = net(
        x,
        changes.get("c_noise", torch.zeros(clips)),
        Condition(changes.get("cond", cond), changes.get("reference", reference) if net.reference else None),
    )
    return out


@pytest.mark.parametrize(("frames", "size", "patch"), [(1, 16, 1), (5, 16, 2), (16, 24, 2)])
def test_output_is_shaped_like_the_input(frames: int, size: int, patch: int) -> None:
    x = torch.randn(2, 1, frames, size, size)
    assert call(tiny(patch=patch), x).shape == x.shape


def test_begins_as_zero() -> None:
    net = UNet(8, channels=16, multipliers=(1, 2), blocks=1)
    out = net(torch.randn(1, 1, 4, 16, 16), torch.zeros(1), Condition(torch.randn(1, 4, 8)))
    assert torch.equal(out, torch.zeros_like(out))


def parameters(**options: Any) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in UNet(256, **options).parameters())


def test_presets_sizes() -> None:
    """The paper's has about 68 M parameters, as the authors' scripts have."""
    assert 64e6 < parameters() < 72e6
    assert parameters(preset="paper") == parameters()
    assert 8e6 < parameters(preset="small") < 12e6
    assert 0.4e6 < parameters(preset="tiny") < 1.6e6


def test_an_option_overrides_its_preset() -> None:
    shape = {"channels": 32, "multipliers": (1, 2), "blocks": 1}
    assert parameters(preset="paper", **shape) == parameters(preset="tiny")
    assert parameters(preset="tiny") < parameters(preset="tiny", channels=48) < parameters(preset="small")


@pytest.mark.parametrize("size", [64, 96, 112])
@pytest.mark.parametrize("preset", ["paper", "small", "tiny"])
def test_presets_take_the_usual_sizes(preset: Any, size: int) -> None:
    with torch.device("meta"):
        net = UNet(8, preset=preset)
        x = torch.empty(1, 1, 2, size, size)
        assert net(x, torch.empty(1), Condition(torch.empty(1, 2, 8))).shape == x.shape


def test_every_input_matters() -> None:
    net = tiny(reference=True)
    x = torch.randn(1, 1, 4, 16, 16)
    before = call(net, x)
    for name, value in {
        "c_noise": torch.ones(1),
        "cond": torch.zeros(1, 4, 8),
        "reference": torch.zeros(1, 1, 16, 16),
    }.items():
        assert not torch.allclose(before, call(net, x, **{name: value}), atol=1e-3), name


def test_condition_acts_at_its_own_frame() -> None:
    """Without attention and through one temporal layer each, a change of the condition stays near its frame."""
    net = tiny(attention=False)
    x = torch.randn(1, 1, 32, 16, 16)
    torch.manual_seed(1)
    cond = torch.randn(1, 32, 8)
    changed = cond.clone()
    changed[0, 16] += 1
    change = (call(net, x, cond=cond) - call(net, x, cond=changed)).abs().amax(dim=(0, 1, 3, 4))
    assert change[16] > 10 * change[[0, 31]].max()


def test_clips_of_a_batch_do_not_mix() -> None:
    net = tiny(reference=True)
    x = torch.randn(2, 1, 4, 16, 16)
    before = call(net, x)
    x[1] += 1
    after = call(net, x)
    assert torch.allclose(before[0], after[0], atol=1e-5)
    assert not torch.allclose(before[1], after[1], atol=1e-3)


def test_odd_sizes_are_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="do not divide by 4"):
        call(tiny(patch=2), torch.randn(1, 1, 2, 18, 18))


def gradients(net: UNet, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    net.zero_grad()
    out = call(net, x)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return out.detach(), {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def test_checkpointing_changes_nothing_but_memory() -> None:
    x = torch.randn(2, 1, 3, 16, 16)
    kept, again = tiny(reference=True), tiny(reference=True, checkpointing=True)
    again.load_state_dict(kept.state_dict())
    (out, grads), (out_again, grads_again) = gradients(kept, x), gradients(again, x)
    assert torch.equal(out, out_again)
    assert grads.keys() == grads_again.keys() == dict(kept.named_parameters()).keys()
    for name, grad in grads.items():
        assert torch.allclose(grad, grads_again[name], rtol=1e-4, atol=1e-5 * grad.abs().max().item()), name


def test_scales_of_the_skips_learn() -> None:
    net = tiny()
    scales = gradients(net, torch.randn(1, 1, 3, 16, 16))[1]["skip_scales"]
    assert scales.shape == (4,)  # the first convolution, one block a level, one step down
    assert (scales != 0).all()


def test_layout_of_a_clip_costs_no_copy_and_changes_nothing() -> None:
    net = tiny(channels=16)
    x = torch.randn(2, 1, 4, 16, 16)
    seen = []
    net.first.register_forward_hook(lambda _, inputs, out: seen.extend((inputs[0], out)))
    plain = call(net, x)
    assert torch.equal(plain, call(net, x.contiguous(memory_format=torch.channels_last_3d)))
    for pictures in seen:
        assert pictures.is_contiguous(memory_format=torch.channels_last)
    assert plain.is_contiguous(memory_format=torch.channels_last_3d)


def test_attention_is_fused_and_sees_one_frame_or_one_pixels_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 112x112 keys are those of a frame, of a pixel's history or of the condition, never all of the clip's."""
    fused = torch.nn.functional.scaled_dot_product_attention
    lengths = []

    def spy(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        lengths.append((q.shape[-2], k.shape[-2]))
        return fused(q, k, v)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    frames, pixels = 16, 28 * 28  # two halvings of 112
    with torch.no_grad():
        call(tiny(channels=8, multipliers=(1, 1, 1)), torch.randn(1, 1, frames, 112, 112))
    assert lengths == [(pixels, pixels), (frames * pixels, frames), (frames, frames)]


def test_autocast_stays_near_float32() -> None:
    net = tiny(reference=True)
    x = torch.randn(2, 1, 4, 16, 16)
    with torch.no_grad():
        exact = call(net, x)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = call(net, x)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).norm() < 0.05 * exact.norm()


@pytest.mark.slow
def test_compiles() -> None:
    """`module.compile()`, in place: state and class stay what they are; the plain layers run inside."""
    net = tiny(reference=True)
    x = torch.randn(1, 1, 3, 16, 16)
    out, grads = gradients(net, x)
    net.compile()
    compiled, compiled_grads = gradients(net, x)
    assert torch.allclose(out, compiled, rtol=1e-3, atol=1e-4 * out.abs().max().item())
    for name, grad in grads.items():
        assert (grad - compiled_grads[name]).norm() < 1e-3 * grad.norm() + 1e-4, name
