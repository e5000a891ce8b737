"""`Regressor`: what draws a clip in one call, and `MovedReference`, which does it with the diffusion model's U-Net."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from wav2uti.condition import reference as speaker_reference
from wav2uti.condition.condition import Condition
from wav2uti.diffusion.unet import UNet


class Regressor(nn.Module, ABC):
    """A network from a condition to the mean picture: trained on the squared error, it draws a blurred tongue."""

    @property
    def frames_to_fit(self) -> int:
        """Training frames that `fit_to` wants before the first step of training; 0 for none."""
        return 0

    def fit_to(self, frames: Tensor) -> None:
        """Look at training frames (N, H, W) in [-1, 1] before the first step."""

    @abstractmethod
    def forward(self, cond: Condition, context: int) -> Tensor:
        """One clip a condition.

        Args:
            cond: `frames` (B, T + 2 context, W), the `reference` (B, 1, H, W) where the data have one.
            context: frames before and after the clip that the condition holds besides its own.

        Returns:
            (B, 1, T, H, W) on the scale of the frames, [-1, 1].
        """


class MovedReference(Regressor):
    """The time-aware U-Net without noise: it sees the reference frame and tells how the picture differs from it.

    Without a reference frame it starts from a black picture. Its blurred clip is the draft v0 that the paper gives to
    its diffusion model.

    Args:
        width: width of what is known of a frame.
        size: pixels along each side of a frame; any that the U-Net can halve.
        reference: whether the speaker's reference frame is given.
        channels, multipliers, blocks, patch, attention: of the `UNet`.
    """

    def __init__(
        self,
        width: int,
        size: int,
        reference: bool = False,
        channels: int = 64,
        multipliers: tuple[int, ...] = (1, 2, 3),
        blocks: int = 1,
        patch: int = 4,
        attention: bool = True,
    ) -> None:
        super().__init__()
        self.size = size
        self.reference = reference
        self.unet = UNet(
            width, channels=channels, multipliers=multipliers, blocks=blocks, patch=patch, attention=attention
        )

    def forward(self, cond: Condition, context: int) -> Tensor:
        """See `Regressor.forward`."""
        frames = cond.frames[:, context : cond.frames.shape[1] - context]
        clips, count, _ = frames.shape
        start = cond.reference
        if start is None or not self.reference:
            start = speaker_reference.absent(clips, (self.size, self.size), frames.device)
        still = start[:, :, None].expand(-1, -1, count, -1, -1)
        level = torch.zeros(clips, device=frames.device)
        # The first layers see numbers of about unit size, as they do in the diffusion model.
        change: Tensor = self.unet(2 * still + 1, level, Condition(frames))
        return still + change.float()
