"""Clips cut from the recordings of shards; `order` says which and in which order."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from wav2uti.clock import FPS
from wav2uti.corpus.shards import RecordingInfo, Shard
from wav2uti.data.batch import Clip, Known
from wav2uti.data.order import ClipIndex
from wav2uti.data.pictures import Pictures
from wav2uti.speech.timing import token_places


class ClipDataset(Dataset[Clip]):
    """Clips by (recording, first frame); a sampler says which.

    Args:
        recordings: stored recordings, each at least a clip long.
        clip_frames: frames in a clip, T.
        acoustic: acoustic encoder whose embeddings are read.
        text: text encoder, or None for clips without text.
        references: for each recording's id the one that its reference frame is taken from (see
            `choose_references`), or None for clips without.
        context: frames of sound before and after a clip that come with it.
        text_times: whether tokens stand where their stored times say; without, or where a recording has none, they
            are spread evenly over it.
        reference_frames: frames of the speaker's other recording whose mean is the reference.
        known: whether the clips also bring what scores ask: speaker, exact contour, scale.
        pictures: size and frame rate of the frames. A clip begins at any stored frame.
    """

    def __init__(
        self,
        recordings: Sequence[RecordingInfo],
        clip_frames: int,
        acoustic: str,
        text: str | None = None,
        references: Mapping[str, RecordingInfo] | None = None,
        context: int = 0,
        text_times: bool = False,
        reference_frames: int = 1,
        known: bool = False,
        pictures: Pictures = Pictures(),  # noqa: B008 (it is frozen)
    ) -> None:
        self.recordings = list(recordings)
        self.clip_frames = clip_frames
        self.acoustic = acoustic
        self.text = text
        self.references = references
        self.context = context
        self.text_times = text_times
        self.reference_frames = reference_frames
        self.known = known
        self.pictures = pictures
        used = [*self.recordings, *(references or {}).values()]
        self._shards = {path: Shard(path).pinned() for path in {info.shard for info in used}}

    def __getitem__(self, index: ClipIndex) -> Clip:
        recording, start = index
        info = self.recordings[recording]
        step = self.pictures.step
        stop = start + self.clip_frames * step
        shard = self._shards[info.shard]
        heard = np.arange(start - self.context * step, stop + self.context * step, step)
        inside = heard.clip(0, info.frames - 1)  # beyond its ends a recording sounds as at its ends
        sound = shard.acoustic(info.id, self.acoustic, int(inside[0]), int(inside[-1]) + 1)
        tokens = None if self.text is None else torch.from_numpy(shard.text(info.id, self.text))
        return Clip(
            id=info.id,
            frames=self.pictures.resized(shard.frames(info.id, start, stop)[::step])[None],
            acoustic=torch.from_numpy(sound[inside - inside[0]]),
            # The middle of the time until the next frame.
            progress=(torch.from_numpy(heard) + 0.5 * step).float() / info.frames,
            text=tokens,
            text_places=None if tokens is None else self._places(shard, info, len(tokens)),
            reference=None if self.references is None else self._reference(info, start, stop)[None],
            known=self._known(shard, info, start, stop) if self.known else None,
        )

    def _known(self, shard: Shard, info: RecordingInfo, start: int, stop: int) -> Known:
        """What is known of a clip besides what a model is told, for the frames as they are drawn."""
        stored = info.size[0]
        contour = shard.contour(info.id, start, stop)
        if contour is not None:
            contour = self.pictures.points(contour[:: self.pictures.step], stored)
        scale = self.pictures.mm_per_pixel(info.mm_per_pixel, stored)
        return Known(info.speaker, None if contour is None else torch.from_numpy(contour), scale)

    def _places(self, shard: Shard, info: RecordingInfo, count: int) -> Tensor:
        """Where in the recording its tokens stand (count,): 0 to 1."""
        assert self.text is not None
        times = shard.text_times(info.id, self.text) if self.text_times else None
        return torch.from_numpy(token_places(count, times, info.frames / FPS))

    def _reference(self, info: RecordingInfo, start: int, stop: int) -> Tensor:
        """Reference frame (H, W) of a clip's speaker, never a frame of the clip itself."""
        assert self.references is not None
        other = self.references[info.id]
        shard = self._shards[other.shard]
        if other.id != info.id:
            # Evenly spread; of one frame this is the middle one.
            count = self.reference_frames
            chosen = [other.frames * (2 * k + 1) // (2 * count) for k in range(count)]
            return torch.cat([self.pictures.resized(shard.frames(other.id, k, k + 1)) for k in chosen]).mean(dim=0)
        stored = shard.reference(info.id)
        if stored is not None:
            return self.pictures.resized(stored[None])[0]
        frames = shard.frames(info.id)
        outside = np.concatenate([frames[:start], frames[stop:]])
        return self.pictures.shrunk(torch.from_numpy(outside.mean(axis=0, dtype=np.float32) / 127.5 - 1)[None])[0]


def choose_references(infos: Sequence[RecordingInfo]) -> dict[str, RecordingInfo]:
    """For each recording the one that its reference frame comes from.

    The recording itself where a reference is stored with it; else the speaker's next recording, of which the middle
    frame is taken. A speaker's only recording stands for itself: the mean of its frames outside the clip.
    """
    by_speaker: dict[str, list[RecordingInfo]] = {}
    for info in infos:
        by_speaker.setdefault(info.speaker, []).append(info)
    chosen = {}
    for recordings in by_speaker.values():
        following = [*recordings[1:], recordings[0]]
        for info, successor in zip(recordings, following, strict=True):
            chosen[info.id] = info if info.has_reference else successor
    return chosen


def long_enough(info: RecordingInfo, clip_frames: int, references: Mapping[str, RecordingInfo] | None) -> bool:
    """Whether a clip can be cut from the recording, with a frame left for its reference where it must give one."""
    own = references is not None and not info.has_reference and references[info.id].id == info.id
    return info.frames >= clip_frames + own
