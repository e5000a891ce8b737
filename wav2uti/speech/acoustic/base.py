"""What every acoustic encoder does: one vector for each video frame, of whole recordings, streams and batches."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wav2uti.clock import FPS, SAMPLE_RATE
from wav2uti.errors import InputError
from wav2uti.speech.hub import Pretrained, WithoutWeights, model_name


class Samples(Protocol):
    """Sound at 16 kHz that is read in slices: an array, or a file that is never held whole."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> NDArray[np.float32]: ...


class AcousticEncoder(WithoutWeights, ABC):
    """Speech to one vector per video frame.

    Attributes:
        device: where an encoder with weights runs; not part of its `spec`.
    """

    device: str = "cpu"

    @property
    def layers(self) -> int:
        """Hidden states that stand side by side in a vector, each `width` / `layers` long."""
        return 1

    @property
    @abstractmethod
    def name(self) -> str:
        """Key of these embeddings in a shard."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Length of one vector."""

    @abstractmethod
    def encode(self, audio: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        """Embed a whole recording.

        Args:
            audio: float32 (N,) at 16 kHz; what is missing at the end counts as silence.
            frames: number of video frames, T.

        Returns:
            float32 (T, width).
        """

    def encode_blocks(self, audio: Samples, frames: int) -> Iterator[NDArray[np.float32]]:
        """The same as `encode`, in blocks float32 (n, width) of consecutive frames.

        An encoder that needs only a stretch of the sound at a time reads no more than that.
        """
        yield self.encode(audio[0 : len(audio)], frames)

    def encode_batch(self, audios: Sequence[NDArray[np.float32]], frames: Sequence[int]) -> list[NDArray[np.float32]]:
        """The same as `encode` of each recording, for an encoder that gains by working on several at once."""
        return [self.encode(audio, count) for audio, count in zip(audios, frames, strict=True)]

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Class and arguments as plain JSON, from which `build_acoustic` makes the same encoder."""


def frame_places(frames: int) -> NDArray[np.float64]:
    """Instants of the video frames, in samples at 16 kHz; float64 (T,)."""
    return np.arange(frames) * SAMPLE_RATE / FPS


def read_padded(audio: Samples, start: int, stop: int) -> NDArray[np.float32]:
    """Samples [start, stop) as float32, with silence after the end."""
    piece = np.zeros(stop - start, dtype=np.float32)
    sound = audio[min(start, len(audio)) : min(stop, len(audio))]
    piece[: len(sound)] = sound
    return piece


@dataclass(frozen=True)
class Window:
    """A stretch of a model's outputs: [first, last) are computed, and [start, stop) of them kept."""

    first: int
    last: int
    start: int
    stop: int


def windows(outputs: int, kept: int, context: int) -> list[Window]:
    """Windows of `kept` + 2 `context` outputs, all of this one length, that keep every output exactly once.

    A kept output has at least `context` others on each side, except at the ends of the recording. A recording of no
    more than one window is one shorter window.

    >>> windows(8, 4, 1)
    [Window(first=0, last=6, start=0, stop=5), Window(first=2, last=8, start=5, stop=8)]
    """
    length = kept + 2 * context
    if outputs <= length:
        return [Window(0, outputs, 0, outputs)]
    count = -(-(outputs - 2 * context) // kept)
    edges = [0, *(context + k * kept for k in range(1, count)), outputs]
    firsts = [min(k * kept, outputs - length) for k in range(count)]
    return [
        Window(first, first + length, start, stop)
        for first, start, stop in zip(firsts, edges[:-1], edges[1:], strict=True)
    ]


def interpolate(blocks: Iterable[NDArray[np.float32]], places: NDArray[np.float64]) -> Iterator[NDArray[np.float32]]:
    """Linear interpolation between vectors that come in consecutive blocks.

    Args:
        blocks: float32 (n, width) each; together J vectors.
        places: ascending positions among the vectors, within [0, J - 1]; float64 (T,).

    Yields:
        float32 (m, width), together T vectors.
    """
    before, after = np.floor(places).astype(np.int64), np.ceil(places).astype(np.int64)
    weight = (places - before).astype(np.float32)[:, None]
    held: NDArray[np.float32] | None = None
    end = done = 0
    for block in blocks:
        # The last vector of the block before is the left neighbour of the first frames of this one.
        held = block if held is None else np.concatenate([held[-1:], block])
        end += len(block)
        offset, ready = end - len(held), int(np.searchsorted(after, end))
        if ready > done:
            part = slice(done, ready)
            yield (1 - weight[part]) * held[before[part] - offset] + weight[part] * held[after[part] - offset]
            done = ready


@dataclass(frozen=True)
class Sound:
    """A recording as a model reads it.

    Attributes:
        outputs: vectors that the model gives for all of it.
        read: the model's input, float32 (N,), for the outputs [first, last).
        moments: mean and variance of each channel of the first convolution over the recording, float32 (2, channels),
            for a model that normalises by them; None for any other.
    """

    outputs: int
    read: Callable[[int, int], NDArray[np.float32]]
    moments: NDArray[np.float32] | None = None


class WindowedEncoder(Pretrained, AcousticEncoder):
    """Hidden states of a pretrained model that reads long recordings in overlapping windows of equal length.

    Only the middle of a window is kept, so that each vector has context on both sides; the vectors are interpolated
    linearly at the video frames.

    Args:
        model: hub id or local folder.
        layer: which hidden state: -1 (or the number of layers) is the model's output, 0 what enters the first layer.
        layers: several hidden states side by side instead, in this order, or "all", from 0 to the output.
        revision: branch, tag or commit of a hub model; `spec` names the commit that it stood for.
        device: where the model runs.
    """

    _AT_ONCE: ClassVar[int] = 4  # windows that are run together: bounds the memory

    def __init__(
        self,
        model: str,
        layer: int = -1,
        layers: list[int] | Literal["all"] | None = None,
        revision: str | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(model, revision)
        if layers is not None and (layer != -1 or layers == []):
            raise InputError("Several hidden states need `layers` alone: a list of numbers or 'all', and no `layer`.")
        self.layer, self._several, self.device = layer, layers, device

    @property
    def name(self) -> str:
        if self._several is None:
            return model_name(self.model) + ("" if self.layer == -1 else f"-layer{self.layer}")
        numbers = "all" if self._several == "all" else ".".join(map(str, self._several))
        return f"{model_name(self.model)}-layers-{numbers}"

    @property
    def layers(self) -> int:
        return self._depth + 1 if self._several == "all" else 1 if self._several is None else len(self._several)

    @property
    def width(self) -> int:
        self._chosen()
        return self.layers * self._hidden

    def spec(self) -> dict[str, Any]:
        chosen = {"layer": self.layer} if self._several is None else {"layers": self._several}
        return {"class": type(self).__name__, "args": self._pinned_args() | chosen}

    def encode(self, audio: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        blocks = list(self.encode_blocks(audio, frames))
        return np.concatenate(blocks) if blocks else np.zeros((0, self.width), dtype=np.float32)

    def encode_blocks(self, audio: Samples, frames: int) -> Iterator[NDArray[np.float32]]:
        """The same as `encode`, in blocks; reads a few windows of sound at a time."""
        if frames == 0:
            return
        sound = self._open(audio, frames)
        yield from interpolate(self._kept_states(sound), self._places(sound, frames))

    def encode_batch(self, audios: Sequence[NDArray[np.float32]], frames: Sequence[int]) -> list[NDArray[np.float32]]:
        """The same as `encode` of each recording, with windows of like length run together."""
        sounds = [self._open(audio, count) for audio, count in zip(audios, frames, strict=True)]
        jobs = [
            (k, window)
            for k, sound in enumerate(sounds)
            if frames[k]
            for window in windows(sound.outputs, *self._sizes)
        ]
        jobs.sort(key=lambda job: job[1].last - job[1].first)
        parts: list[list[tuple[int, NDArray[np.float32]]]] = [[] for _ in sounds]
        for bucket in self._buckets([window.last - window.first for _, window in jobs]):
            chosen = jobs[bucket]
            states = self._states(
                [sounds[k].read(window.first, window.last) for k, window in chosen], [sounds[k] for k, _ in chosen]
            )
            for (k, window), part in zip(chosen, states, strict=True):
                parts[k].append((window.start, _middle(part, window)))
        embedded = []
        for sound, count, some in zip(sounds, frames, parts, strict=True):
            blocks = [part for _, part in sorted(some, key=lambda item: item[0])]
            pieces = list(interpolate(blocks, self._places(sound, count)))
            embedded.append(np.concatenate([np.zeros((0, self.width), dtype=np.float32), *pieces]))
        return embedded

    def _kept_states(self, sound: Sound) -> Iterator[NDArray[np.float32]]:
        """All outputs of a recording, in consecutive blocks."""
        plan = windows(sound.outputs, *self._sizes)
        for k in range(0, len(plan), self._AT_ONCE):
            some = plan[k : k + self._AT_ONCE]
            inputs = [sound.read(window.first, window.last) for window in some]
            states = self._states(inputs, [sound] * len(some))
            for part, window in zip(states, some, strict=True):
                yield _middle(part, window)

    def _buckets(self, lengths: Sequence[int]) -> list[slice]:
        """Which of the windows, of these ascending lengths in outputs, run together."""
        kept, context = self._sizes
        edges: list[int] = []
        for k, length in enumerate(lengths):
            first = edges[-1] if edges else k
            room = (k + 1 - first) * length <= self._AT_ONCE * (kept + 2 * context)
            if not edges or not room or not self._alike(lengths[first], length):
                edges.append(k)
        return [slice(start, stop) for start, stop in zip(edges, [*edges, len(lengths)][1:], strict=True)]

    def _places(self, sound: Sound, frames: int) -> NDArray[np.float64]:
        """Position of each video frame among the outputs."""
        centre, stride = self._grid
        return np.clip((frame_places(frames) - centre) / stride, 0, sound.outputs - 1)

    def _chosen(self) -> list[int]:
        """Numbers of the hidden states, 0 to the depth of the model."""
        if self._several == "all":
            return list(range(self._depth + 1))
        wanted = [self.layer] if self._several is None else self._several
        for number in wanted:
            if not -self._depth - 1 <= number <= self._depth:
                raise InputError(f"The model {self.model} has {self._depth} layers, so there is no layer {number}.")
        return [number % (self._depth + 1) for number in wanted]

    def _stacked(self, result: Any) -> NDArray[np.float32]:
        """The chosen hidden states of a transformers output; float32 (windows, outputs, width)."""
        import torch

        # The last recorded state of some models lacks the final normalisation of the output, so that is asked for.
        states = [
            result.last_hidden_state if number == self._depth else result.hidden_states[number]
            for number in self._chosen()
        ]
        array: NDArray[np.float32] = torch.cat(states, dim=-1).float().cpu().numpy()
        return array

    @property
    def _needs_all(self) -> bool:
        """Whether a hidden state other than the output is wanted."""
        return self._chosen() != [self._depth]

    @property
    @abstractmethod
    def _depth(self) -> int:
        """Number of transformer layers."""

    @property
    @abstractmethod
    def _hidden(self) -> int:
        """Length of one hidden state."""

    @property
    @abstractmethod
    def _grid(self) -> tuple[float, int]:
        """Sample at the centre of output 0, and samples from one output to the next."""

    @property
    @abstractmethod
    def _sizes(self) -> tuple[int, int]:
        """Outputs of a window that are kept, and outputs beside them on each side that are not."""

    @abstractmethod
    def _open(self, audio: Samples, frames: int) -> Sound:
        """A recording of at least `frames` video frames as the model reads it."""

    @abstractmethod
    def _states(self, inputs: Sequence[NDArray[np.float32]], sounds: Sequence[Sound]) -> list[NDArray[np.float32]]:
        """Run windows of these recordings together; float32 (outputs, width) each."""

    @abstractmethod
    def _alike(self, shorter: int, longer: int) -> bool:
        """Whether windows of these numbers of outputs give the same vectors together as alone."""


def _middle(states: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """What is kept of a window; a copy, so that the rest is freed."""
    return states[window.start - window.first : window.stop - window.first].copy()
