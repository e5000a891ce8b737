"""Frames look near their own place in the text first, and long recordings are attended for in blocks."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from wav2uti.condition.fusion import Fusion, TextAttention
from wav2uti.errors import InputError

HEADS, PLACES = 3, 8  # no token, and up to seven tokens


def bare() -> TextAttention:
    """An attention whose output at each head is its weights on no token and on the tokens, for queries of zero."""
    width = HEADS * PLACES
    attention = TextAttention(width, width, HEADS)
    attention.token_norm = nn.Identity()  # type: ignore[assignment]
    for layer in (attention.token, attention.value, attention.out):
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    for layer in (attention.position, attention.query):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    with torch.no_grad():
        attention.nothing.copy_(torch.eye(PLACES)[0].repeat(HEADS))
    return attention


def weights(attention: TextAttention, progress: Tensor, mask: Tensor, places: Tensor | None = None) -> Tensor:
    """Weights (B, T, heads, PLACES) of a `bare` attention."""
    tokens = torch.eye(PLACES)[1 : 1 + mask.shape[1]].repeat(1, HEADS).expand(len(mask), -1, -1)
    frames = torch.zeros(*progress.shape, HEADS * PLACES)
    return attention(frames, tokens, mask, progress, places).unflatten(-1, (HEADS, PLACES))


def test_weights_are_gaussians_of_the_distance_in_tokens() -> None:
    progress = torch.tensor([[-0.2, 0.0, 0.1, 0.5, 0.77, 1.0]])
    seen = weights(bare(), progress, torch.ones(1, 6, dtype=torch.bool))
    for head, width in enumerate([0.5, 2.0, 8.0]):
        for frame, place in enumerate(progress[0].tolist()):
            near = [math.exp(-2)] + [math.exp(-(((6 * place - token - 0.5) / width) ** 2) / 2) for token in range(6)]
            expected = torch.tensor(near) / sum(near)
            torch.testing.assert_close(seen[0, frame, head, :7], expected, rtol=1e-4, atol=1e-6)


def test_distances_count_real_tokens_and_padding_has_no_weight() -> None:
    progress = torch.linspace(0, 1, 9).expand(2, 9)
    mask = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    seen = weights(bare(), progress, mask)
    assert (seen[1, :, :, 4:] == 0).all()
    torch.testing.assert_close(seen.sum(dim=-1), torch.ones(2, 9, HEADS))
    torch.testing.assert_close(seen[1, :, :, :4], weights(bare(), progress[1:], mask[1:, :3])[0, :, :, :4])


def test_given_places_are_what_distances_are_taken_from() -> None:
    places = torch.tensor([[0.1, 0.9]])
    seen = weights(bare(), torch.tensor([[0.1, 0.4]]), torch.ones(1, 2, dtype=torch.bool), places)
    near = [math.exp(-2), math.exp(-((2 * 0.3 / 0.5) ** 2) / 2), math.exp(-((2 * 0.5 / 0.5) ** 2) / 2)]
    torch.testing.assert_close(seen[0, 1, 0, :3], torch.tensor(near) / sum(near))


@pytest.mark.parametrize("length", [0, 6])
def test_without_text_all_weight_is_on_no_token(length: int) -> None:
    seen = weights(bare(), torch.linspace(0, 1, 5)[None], torch.zeros(1, length, dtype=torch.bool))
    torch.testing.assert_close(seen, torch.eye(PLACES)[0].expand(1, 5, HEADS, PLACES))


@pytest.mark.parametrize("length", [0, 5, 3000])
def test_half_precision_stays_finite(length: int) -> None:
    torch.manual_seed(0)
    attention = TextAttention(6, 32, 4)
    frames, text = torch.randn(2, 16, 32), torch.randn(2, length, 6)
    mask = torch.arange(length) < torch.tensor([[length], [length // 2]])
    with torch.autocast("cpu", torch.bfloat16):
        seen = attention(frames, text, mask, torch.linspace(0, 1, 16).expand(2, 16))
    assert seen.dtype == torch.bfloat16
    assert torch.isfinite(seen).all()
    seen.float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in attention.parameters() if p.grad is not None)


def test_every_head_learns_its_width() -> None:
    torch.manual_seed(0)
    attention = TextAttention(6, 32, 4)
    seen = attention(torch.randn(1, 16, 32), torch.randn(1, 9, 6), torch.full((1, 9), True), torch.rand(1, 16))
    (seen * torch.randn_like(seen)).sum().backward()
    assert attention.sharpness.grad is not None
    assert (attention.sharpness.grad != 0).all()


def long(frames: int, length: int, clips: int = 2) -> tuple[Tensor, ...]:
    """What a `TextAttention(6, 32, 4)` takes."""
    mask = torch.arange(length) < torch.tensor([length, length // 2])[:clips, None]
    progress = torch.linspace(0, 1, frames).expand(clips, frames)
    return torch.randn(clips, frames, 32), torch.randn(clips, length, 6), mask, progress


@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 37, 200])
def test_blocks_of_frames_give_what_all_of_them_give(
    learning: bool, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    attention, given = TextAttention(6, 32, 4), long(200, 30)
    with torch.set_grad_enabled(learning):
        whole = attention(*given)
        monkeypatch.setattr(TextAttention, "BLOCK", rows * 2 * 4 * 31)
        torch.testing.assert_close(attention(*given), whole, rtol=0, atol=1e-6)


class Largest(TorchDispatchMode):
    """Counts the elements of the largest tensor that an operation makes."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return made


def test_memory_does_not_grow_with_frames_times_tokens() -> None:
    attention, given = TextAttention(6, 32, 4), long(6000, 500, clips=1)
    with torch.inference_mode(), Largest() as largest:
        attention(*given)
    assert largest.elements <= TextAttention.BLOCK < 6000 * 500 * 4 / 10


def test_weights_of_the_attention_without_distance_are_refused() -> None:
    fusion = Fusion(10, 6, width=32, heads=4)
    old = {name: value for name, value in fusion.state_dict().items() if name != "attention.sharpness"}
    with pytest.raises(InputError, match=r"earlier wav2uti.*attention\.sharpness is missing.*train it") as refused:
        fusion.load_state_dict(old)
    assert len(str(refused.value)) <= 200  # as much of it as a sentence around it quotes


def test_weights_of_sound_alone_are_not_taken_for_old_ones() -> None:
    fusion = Fusion(10, None, width=32, heads=4)
    fusion.load_state_dict(fusion.state_dict())
    with pytest.raises(RuntimeError, match=r"Missing key"):
        Fusion(10, 6, width=32, heads=4).load_state_dict(fusion.state_dict())
