"""Which clips of the recordings are taken, and in which order."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler
from torch.utils.data.distributed import DistributedSampler

from wav2uti.corpus.shards import RecordingInfo

ClipIndex = tuple[int, int]  # which recording, and its first frame


class ClipSampler(DistributedSampler[ClipIndex]):
    """Clips at random places, shuffled: one epoch takes frames // clip_frames clips of every recording.

    The order depends on the seed and the epoch alone. Of several processes each takes every so many of them: batch k of
    all processes together holds the clips that batch k of a single one with as many clips would hold. It is a
    `DistributedSampler` so that Lightning does not share it out once more.

    Args:
        recordings: that clips are cut from.
        clip_frames: stored frames that a clip extends over.
        seed: of places and order.
        processes, rank: of how many processes this is which.
        step: clips that a process takes for one step of the optimizer: an epoch is cut to whole steps where it has one.

    Attributes:
        place: asked at the beginning of each iteration for the epoch and for the number of its clips that this process
            has taken already: a training that goes on in the middle of an epoch does not begin it anew. None takes the
            epoch of `set_epoch` from its beginning.
    """

    def __init__(
        self,
        recordings: Sequence[RecordingInfo],
        clip_frames: int,
        seed: int,
        processes: int = 1,
        rank: int = 0,
        step: int = 1,
    ) -> None:
        self.frames = np.array([info.frames for info in recordings], dtype=np.int64)
        self.clip_frames = clip_frames
        clips = range(int((self.frames // clip_frames).sum()))
        # It asks a data set for nothing but its length.
        super().__init__(clips, processes, rank, shuffle=False, seed=seed, drop_last=True)  # type: ignore[arg-type]
        if self.num_samples > step:
            self.num_samples -= self.num_samples % step
        self.place: Callable[[], tuple[int, int]] | None = None

    def __iter__(self) -> Iterator[ClipIndex]:
        epoch, taken = (self.epoch, 0) if self.place is None else self.place()
        share = self.order(epoch)[self.rank :: self.num_replicas][: self.num_samples]
        return iter(share[taken:])

    def order(self, epoch: int) -> list[ClipIndex]:
        """All clips of an epoch, of all processes."""
        rng = np.random.default_rng([self.seed, epoch])
        recordings = np.repeat(np.arange(len(self.frames)), self.frames // self.clip_frames)
        starts = rng.integers(0, self.frames[recordings] - self.clip_frames + 1)
        return [(int(recordings[k]), int(starts[k])) for k in rng.permutation(len(recordings))]


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


def few_of(clips: Sequence[ClipIndex], recordings: Sequence[RecordingInfo], count: int) -> list[ClipIndex]:
    """At most `count` of some clips, the first ones, of as many speakers and then recordings as possible."""
    left = list(clips)
    chosen: list[ClipIndex] = []
    of_speaker, of_recording = Counter[str](), Counter[int]()
    while left and len(chosen) < count:
        clip = min(left, key=lambda c: (of_speaker[recordings[c[0]].speaker], of_recording[c[0]]))
        left.remove(clip)
        chosen.append(clip)
        of_speaker[recordings[clip[0]].speaker] += 1
        of_recording[clip[0]] += 1
    return chosen
