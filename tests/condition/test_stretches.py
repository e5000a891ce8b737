"""A recording that is fused a stretch at a time."""

import pytest
import torch

from wav2uti.condition import stretches
from wav2uti.condition.fusion import Fusion


@pytest.mark.parametrize("with_text", [True, False])
@pytest.mark.parametrize(("first", "last"), [(8, 92), (0, 100), (3, 5)])
def test_stretches_are_the_whole(with_text: bool, first: int, last: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "STRETCH", 17)
    torch.manual_seed(0)
    fusion = Fusion(5, 3 if with_text else None, width=16, heads=2, context=3).eval()
    acoustic, progress = torch.randn(1, 100, 5), torch.linspace(0, 1, 100)[None]
    text, mask = (torch.randn(1, 7, 3), torch.ones(1, 7, dtype=torch.bool)) if with_text else (None, None)
    with torch.no_grad():
        whole = fusion(acoustic, text, mask, progress)[0, first:last]
        parts = list(stretches.fused_stretches(fusion, first, last, acoustic, text, mask, progress))
    assert all(len(part) <= 17 for part in parts)
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-5, rtol=1e-5)
