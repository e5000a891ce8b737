"""`MovedReference`: it starts as the reference frame, and what it adds comes from what is heard."""

import torch

from wav2uti.baseline.regressor import MovedReference
from wav2uti.condition.condition import Condition

CLIPS, FRAMES, WIDTH, SIZE, CONTEXT = 2, 3, 5, 16, 2


def net(reference: bool = True) -> MovedReference:
    torch.manual_seed(0)
    return MovedReference(WIDTH, SIZE, reference, channels=16, multipliers=(1, 2), patch=2)


def heard() -> Condition:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(CLIPS, FRAMES + 2 * CONTEXT, WIDTH, generator=generator)
    return Condition(frames, torch.rand(CLIPS, 1, SIZE, SIZE, generator=generator) * 2 - 1)


def test_untrained_it_repeats_the_reference_frame():
    cond = heard()
    drawn = net()(cond, CONTEXT)
    assert torch.equal(drawn, cond.reference[:, :, None].expand(CLIPS, 1, FRAMES, SIZE, SIZE))


def test_untrained_without_a_reference_it_is_black():
    assert net(reference=False)(heard(), CONTEXT).eq(-1).all()
    assert net()(heard()._replace(reference=None), CONTEXT).eq(-1).all()


def test_what_is_heard_in_a_frame_moves_that_frame():
    model, cond = net(), heard()
    for parameter in model.parameters():  # what begins at zero would hide the condition
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    before = model(cond, CONTEXT)
    frames = cond.frames.clone()
    frames[:, 0] += 5  # in the context, which the fusion has used up already
    assert torch.equal(model(cond._replace(frames=frames), CONTEXT), before)
    frames[:, CONTEXT] += 5
    assert not torch.equal(model(cond._replace(frames=frames), CONTEXT)[:, :, 0], before[:, :, 0])
