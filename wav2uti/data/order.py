"""Which clips of the recordings are taken, and in which order."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from wav2uti.corpus.shards import RecordingInfo

ClipIndex = tuple[int, int]  # which recording, and its first frame


class ClipSampler(Sampler[ClipIndex]):
    """Clips at random places, shuffled: one epoch takes frames // clip_frames clips of every recording.

    The order depends on the seed and the epoch alone. Lightning calls `set_epoch`, also through its
    DistributedSamplerWrapper, so that each process takes its share of the same order.
    """

    def __init__(self, recordings: Sequence[RecordingInfo], clip_frames: int, seed: int) -> None:
        self.frames = np.array([info.frames for info in recordings], dtype=np.int64)
        self.clip_frames = clip_frames
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        return int((self.frames // self.clip_frames).sum())

    def __iter__(self) -> Iterator[ClipIndex]:
        rng = np.random.default_rng([self.seed, self.epoch])
        recordings = np.repeat(np.arange(len(self.frames)), self.frames // self.clip_frames)
        starts = rng.integers(0, self.frames[recordings] - self.clip_frames + 1)
        for k in rng.permutation(len(recordings)):
            yield int(recordings[k]), int(starts[k])


class EveryClip(Sampler[ClipIndex]):
    """Every recording from its first frame in clips that do not overlap; frames of a last, shorter clip are left.

    Always in the same mixed order: a limited number of batches is then a sample of all speakers and recordings.
    """

    def __init__(self, recordings: Sequence[RecordingInfo], clip_frames: int) -> None:
        clips = [
            (k, start)
            for k, info in enumerate(recordings)
            for start in range(0, info.frames - clip_frames + 1, clip_frames)
        ]
        self.clips = [clips[i] for i in np.random.default_rng(0).permutation(len(clips))]

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[ClipIndex]:
        return iter(self.clips)
