"""Acoustic embeddings of speech: one vector for each 60 Hz video frame.

Frame k stands k / 60 s after the first sample, the instant that its picture shows, whatever the encoder's own rate.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cache, cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from wav2uti.clock import FPS, SAMPLE_RATE, samples_at
from wav2uti.errors import InputError
from wav2uti.speech.hub import WithoutWeights, load_pretrained, model_name


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

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Class and arguments as plain JSON, from which `build_acoustic` makes the same encoder."""


def frame_places(frames: int) -> NDArray[np.float64]:
    """Instants of the video frames, in samples at 16 kHz; float64 (T,)."""
    return np.arange(frames) * SAMPLE_RATE / FPS


class LogMel(AcousticEncoder):
    """Log mel spectrum in a 25 ms Hann window centred on each video frame; needs no weights.

    A hop of 800/3 samples is no integer, so the windows are gathered at the frames' instants, rounded to a sample.

    The level of a recording depends on its microphone, so it is brought to -20 dBFS over its speech first (see
    `speech_level`). That single gain is all that a frame takes from the rest of its file: the log energies are then
    shifted and scaled by constants (measured on an audiobook and on TaL and AAA sessions; speech has a mean near 0
    and a standard deviation near 1, silence stands at -1.2).
    """

    MEAN: ClassVar[float] = -9.0
    STD: ClassVar[float] = 4.0
    LEVEL: ClassVar[float] = 0.1  # root mean square of the speech after the gain: -20 dBFS
    FLOOR: ClassVar[float] = 1.0e-6  # added to the band energies: hides a quiet room's noise, not a weak fricative

    _WINDOW = 400  # 25 ms
    _FFT = 1024  # bins of 15.6 Hz: with fewer, the lowest of 80 bands would hold none
    _BLOCK = 1024  # frames transformed at a time: the memory needed does not grow with the recording

    def __init__(self, bands: int = 80) -> None:
        if not 1 <= bands <= 128:
            raise InputError(f"A mel spectrum of {bands} bands is outside 1 to 128: set `bands` within.")
        self.bands = bands

    @property
    def name(self) -> str:
        return "logmel" if self.bands == 80 else f"logmel{self.bands}"

    @property
    def width(self) -> int:
        return self.bands

    def spec(self) -> dict[str, Any]:
        return {"class": "LogMel", "args": {"bands": self.bands}}

    def encode(self, audio: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        blocks = list(self.encode_blocks(audio, frames))
        return np.concatenate(blocks) if blocks else np.zeros((0, self.bands), dtype=np.float32)

    def encode_blocks(self, audio: Samples, frames: int) -> Iterator[NDArray[np.float32]]:
        starts = np.rint(frame_places(frames) - (self._WINDOW - 1) / 2).astype(np.int64)
        hann = np.hanning(self._WINDOW + 1)[:-1].astype(np.float32)  # periodic
        hann /= np.sqrt(np.sum(hann**2))  # white noise of variance v then has v in every bin
        hann *= self.LEVEL / speech_level(audio)
        filters = mel_filters(self.bands, self._FFT // 2 + 1)
        for first in range(0, frames, self._BLOCK):
            chosen = starts[first : first + self._BLOCK]
            # Silence on both sides makes the first and the last window whole.
            piece = np.zeros(chosen[-1] - chosen[0] + self._WINDOW, dtype=np.float32)
            lead = max(-int(chosen[0]), 0)
            sound = audio[chosen[0] + lead : max(chosen[-1] + self._WINDOW, 0)]
            piece[lead : lead + len(sound)] = sound
            windows = np.lib.stride_tricks.sliding_window_view(piece, self._WINDOW)[chosen - chosen[0]]
            spectrum = np.fft.rfft(windows * hann, self._FFT)
            energy = np.square(np.abs(spectrum)).astype(np.float32) @ filters
            features: NDArray[np.float32] = (np.log(energy + self.FLOOR) - self.MEAN) / self.STD
            yield features


def speech_level(audio: Samples) -> float:
    """Root mean square amplitude of the part of a recording that is not silent; at least 0.001 (-60 dBFS).

    Gated like the loudness of ITU-R BS.1770 (an absolute gate, then one 10 dB below the mean of what passed it), in
    blocks of 50 ms and without its weighting filter. How much silence surrounds the speech does not matter.
    """
    block, silence = SAMPLE_RATE // 20, 1.0e-3
    powers = []
    for start in range(0, len(audio), 1000 * block):
        piece = audio[start : start + 1000 * block]
        padded = np.zeros(-(-len(piece) // block) * block, dtype=np.float32)
        padded[: len(piece)] = piece
        powers.append(np.square(padded.reshape(-1, block)).mean(axis=1, dtype=np.float64))
    power = np.concatenate([np.zeros(0), *powers])
    power = power[power > silence**2]
    if power.size == 0:
        return silence
    return float(np.sqrt(power[power > power.mean() / 10].mean()))


@cache
def mel_filters(bands: int, bins: int, low: float = 50.0, high: float = 7600.0) -> NDArray[np.float32]:
    """Triangular filters evenly spaced on the HTK mel scale, each with a peak of 1; float32 (bins, bands).

    7600 Hz leaves out the edge of the resampling filter.
    """
    from torchaudio.functional import melscale_fbanks  # seconds to import: here, not at the head

    filters: NDArray[np.float32] = melscale_fbanks(bins, low, high, bands, SAMPLE_RATE).numpy()
    return filters


class Wav2Vec2(AcousticEncoder):
    """Hidden states of a transformers model with wav2vec 2.0's convolutional front end.

    That is wav2vec 2.0, XLS-R, MMS, HuBERT, WavLM, UniSpeech and data2vec-audio. The states are interpolated linearly
    between the centres of their receptive fields: output j of wav2vec 2.0 sees samples 320 j to 320 j + 399.
    Recordings of more than 24 s run in overlapping windows, each output with at least 2 s of context.

    Args:
        model: hub id or local folder.
        layer: which hidden state: -1 is the model's output, 0 the input of the first transformer layer.
        device: where the model runs.
    """

    _KEPT = 20 * 50  # outputs of a window that are kept (20 s at 50 a second)
    _CONTEXT = 2 * 50  # outputs beside them on each side that are not

    def __init__(self, model: str = "facebook/wav2vec2-large-xlsr-53", layer: int = -1, device: str = "cpu") -> None:
        self.model, self.layer, self.device = model, layer, device

    @property
    def name(self) -> str:
        return model_name(self.model) + ("" if self.layer == -1 else f"-layer{self.layer}")

    @property
    def width(self) -> int:
        return int(self._config.hidden_size)

    def spec(self) -> dict[str, Any]:
        return {"class": "Wav2Vec2", "args": {"model": self.model, "layer": self.layer}}

    def encode(self, audio: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        field, stride = self._field_and_stride
        length = max(len(audio), samples_at(frames), field)
        padded = np.pad(audio, (0, length - len(audio)))
        # The extractor's scaling to zero mean and unit variance, over the recording and not over a window of it.
        inputs = np.asarray(self._extractor(padded, sampling_rate=SAMPLE_RATE)["input_values"][0], dtype=np.float32)
        outputs = (length - field) // stride + 1
        if outputs <= self._KEPT + 2 * self._CONTEXT:
            states = self._states(inputs)
        else:
            parts = []
            for start in range(0, outputs, self._KEPT):
                stop = min(start + self._KEPT, outputs)
                first, last = max(start - self._CONTEXT, 0), min(stop + self._CONTEXT, outputs)
                part = self._states(inputs[first * stride : (last - 1) * stride + field])
                parts.append(part[start - first : stop - first])
            states = np.concatenate(parts)
        # Position of each video frame among the outputs, whose centres are (field - 1) / 2 + stride * j samples.
        position = np.clip((frame_places(frames) - (field - 1) / 2) / stride, 0, outputs - 1)
        before = np.minimum(position.astype(np.int64), max(outputs - 2, 0))
        after = np.minimum(before + 1, outputs - 1)
        weight = (position - before).astype(np.float32)[:, None]
        embedded: NDArray[np.float32] = (1 - weight) * states[before] + weight * states[after]
        return embedded

    def _states(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Hidden states of one window; float32 (outputs, width)."""
        import torch

        model = self._loaded.to(self.device)
        with torch.inference_mode():
            batch = torch.from_numpy(inputs)[None].to(self.device)
            result = model(batch, output_hidden_states=self.layer != -1)
        states = result.last_hidden_state if self.layer == -1 else result.hidden_states[self.layer]
        array: NDArray[np.float32] = states[0].float().cpu().numpy()
        return array

    @cached_property
    def _config(self) -> Any:
        from transformers import AutoConfig

        config = load_pretrained(AutoConfig.from_pretrained, self.model)
        if not getattr(config, "conv_kernel", None) or not getattr(config, "conv_stride", None):
            raise InputError(
                f"The model {self.model} is a {config.model_type} model without wav2vec 2.0's convolutions: "
                f"give a wav2vec 2.0, HuBERT, WavLM or data2vec-audio model."
            )
        layers = config.num_hidden_layers
        if not -layers - 1 <= self.layer <= layers:
            raise InputError(f"The model {self.model} has {layers} layers, so there is no layer {self.layer}.")
        return config

    @cached_property
    def _field_and_stride(self) -> tuple[int, int]:
        """Receptive field and stride of the convolutions, in samples: 400 and 320 for wav2vec 2.0."""
        field, stride = 1, 1
        for kernel, step in zip(self._config.conv_kernel, self._config.conv_stride, strict=True):
            field += (kernel - 1) * stride
            stride *= step
        return field, stride

    @cached_property
    def _extractor(self) -> Any:
        from transformers import AutoFeatureExtractor

        return load_pretrained(AutoFeatureExtractor.from_pretrained, self.model)

    @cached_property
    def _loaded(self) -> Any:
        import torch
        from transformers import AutoModel

        return load_pretrained(AutoModel.from_pretrained, self.model, dtype=torch.float32).eval()


_ENCODERS: dict[str, type[AcousticEncoder]] = {"LogMel": LogMel, "Wav2Vec2": Wav2Vec2}


def build_acoustic(spec: dict[str, Any], device: str = "cpu") -> AcousticEncoder:
    """The encoder that `spec` describes, to run on `device`; only classes of this file.

    >>> build_acoustic({"class": "LogMel", "args": {"bands": 40}}).name
    'logmel40'
    """
    try:
        encoder = _ENCODERS[spec["class"]](**spec.get("args", {}))
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{spec!r} describes no acoustic encoder: give a class of {', '.join(_ENCODERS)} with its arguments."
        ) from error
    encoder.device = device
    return encoder
