"""Clips cut from the recordings of shards; `order` says which and in which order."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from wav2uti.clock import FPS
from wav2uti.corpus.shards import CHUNK_FRAMES, RecordingInfo, Shard
from wav2uti.data.batch import Clip, Known
from wav2uti.data.kept import Kept
from wav2uti.data.order import ClipIndex
from wav2uti.data.pictures import Pictures
from wav2uti.speech.timing import token_places

# Texts and reference frames that a process keeps, the latest used ones: those of 450 recordings at 112x112 with 30
# tokens of BERT each.
KEPT_BYTES = 2**26
TOTAL_FRAMES = 16 * CHUNK_FRAMES  # frames read at a time to sum up a recording


class ClipDataset(Dataset[Clip]):
    """Clips by (recording, first frame); a sampler says which.

    What the clips of a recording share is kept in memory, up to KEPT_BYTES in each process.

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
        self._kept = Kept(KEPT_BYTES)
        around = np.arange(-context, clip_frames + context, dtype=np.float32)
        self._middles = (around + np.float32(0.5)) * np.float32(pictures.step)  # in stored frames from a clip's first

    def __getitem__(self, index: ClipIndex) -> Clip:
        recording, start = index
        info = self.recordings[recording]
        step = self.pictures.step
        stop = start + self.clip_frames * step
        shard = self._shards[info.shard]
        first, last = start - self.context * step, stop + self.context * step
        tokens, places = (None, None) if self.text is None else self._text(shard, info)
        return Clip(
            id=info.id,
            frames=self.pictures.clip(shard.frames(info.id, start, stop)[::step])[None],
            acoustic=torch.from_numpy(self._sound(shard, info, first, last)),
            # The middle of the time until the next frame.
            progress=torch.from_numpy((self._middles + np.float32(start)) / np.float32(info.frames)),
            text=tokens,
            text_places=places,
            reference=None if self.references is None else self._reference(info, start, stop)[None],
            known=self._known(shard, info, start, stop) if self.known else None,
        )

    def _sound(self, shard: Shard, info: RecordingInfo, first: int, last: int) -> NDArray[np.float32]:
        """Embeddings of the frames [first, last); beyond its ends a recording sounds as at its ends."""
        step = self.pictures.step
        if first >= 0 and last <= info.frames:
            return shard.acoustic(info.id, self.acoustic, first, last)[::step]
        inside = np.minimum(np.maximum(np.arange(first, last, step), 0), info.frames - 1)
        return shard.acoustic(info.id, self.acoustic, int(inside[0]), int(inside[-1]) + 1)[inside - inside[0]]

    def _known(self, shard: Shard, info: RecordingInfo, start: int, stop: int) -> Known:
        """What is known of a clip besides what a model is told, for the frames as they are drawn."""
        stored = info.size[0]
        contour = shard.contour(info.id, start, stop)
        if contour is not None:
            contour = self.pictures.points(contour[:: self.pictures.step], stored)
        scale = self.pictures.mm_per_pixel(info.mm_per_pixel, stored)
        return Known(info.speaker, None if contour is None else torch.from_numpy(contour), scale)

    def _text(self, shard: Shard, info: RecordingInfo) -> tuple[Tensor, Tensor]:
        """Tokens (L, D_t) of a recording, and where in it they stand (L,): 0 to 1."""
        key = ("text", info.id)
        kept = self._kept.get(key)
        if kept is None:
            assert self.text is not None
            tokens = shard.text(info.id, self.text)
            times = shard.text_times(info.id, self.text) if self.text_times else None
            places = token_places(len(tokens), times, info.frames / FPS)
            kept = torch.from_numpy(tokens), torch.from_numpy(places)
            self._kept.put(key, kept)
        return kept[0], kept[1]

    def _reference(self, info: RecordingInfo, start: int, stop: int) -> Tensor:
        """Reference frame (H, W) of a clip's speaker, never a frame of the clip itself."""
        assert self.references is not None
        other = self.references[info.id]
        own = other.id == info.id
        key = ("stored" if own else "frame", other.id)
        kept = self._kept.get(key)
        if kept is None:
            found = self._stored_reference(info) if own else self._frame_of(other)
            if found is None:
                return self._rest(info, start, stop)
            kept = (found,)
            self._kept.put(key, kept)
        return kept[0]

    def _frame_of(self, other: RecordingInfo) -> Tensor:
        """Mean (H, W) of frames evenly over a recording; of one frame this is the middle one."""
        shard, count = self._shards[other.shard], self.reference_frames
        chosen = [other.frames * (2 * k + 1) // (2 * count) for k in range(count)]
        frames = [self.pictures.resized(shard.frames(other.id, k, k + 1)) for k in chosen]
        return frames[0][0] if count == 1 else torch.cat(frames).mean(dim=0)

    def _stored_reference(self, info: RecordingInfo) -> Tensor | None:
        """The reference (H, W) stored with a recording."""
        stored = self._shards[info.shard].reference(info.id) if info.has_reference else None
        return None if stored is None else self.pictures.resized(stored[None])[0]

    def _rest(self, info: RecordingInfo, start: int, stop: int) -> Tensor:
        """Mean (H, W) of the frames of a recording outside a clip."""
        shard = self._shards[info.shard]
        clip = shard.frames(info.id, start, stop).sum(axis=0, dtype=np.int64)
        outside = (self._total(shard, info) - clip).astype(np.float32) / np.float32(info.frames - (stop - start))
        return self.pictures.shrunk(torch.from_numpy(outside / np.float32(127.5) - 1)[None])[0]

    def _total(self, shard: Shard, info: RecordingInfo) -> NDArray[np.int64]:
        """Sum (H, W) of all frames of a recording, read in blocks: a long one's frames do not fit in memory."""
        key = ("total", info.id)
        kept = self._kept.get(key)
        if kept is None:
            blocks = range(0, info.frames, TOTAL_FRAMES)
            total = np.zeros(info.size, dtype=np.int64)
            for start in blocks:
                total += shard.frames(info.id, start, start + TOTAL_FRAMES).sum(axis=0, dtype=np.int64)
            kept = (torch.from_numpy(total),)
            self._kept.put(key, kept)
        return kept[0].numpy()


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
