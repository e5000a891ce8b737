"""Hidden states of the models with wav2vec 2.0's convolutional front end."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from wav2uti.clock import SAMPLE_RATE, samples_at
from wav2uti.errors import InputError
from wav2uti.speech.acoustic.base import Samples, Sound, WindowedEncoder, read_padded


class Wav2Vec2(WindowedEncoder):
    """Hidden states of a transformers model with wav2vec 2.0's convolutional front end.

    That is wav2vec 2.0, XLSR, XLS-R, MMS, HuBERT, WavLM, UniSpeech and data2vec-audio. The states are interpolated
    linearly between the centres of their receptive fields: output j of wav2vec 2.0 sees samples 320 j to 320 j + 399.
    Recordings of more than 24 s run in overlapping windows, each output with at least 2 s of context.

    The model's own feature extractor says whether the sound is brought to zero mean and unit variance. They are those
    of the whole recording, not of a window, and so are the mean and variance by which some models (wav2vec 2.0 base,
    HuBERT base, WavLM base) normalise their first convolution.

    Args:
        model: hub id or local folder.
        layer: which hidden state: -1 (or the number of layers) is the model's output, 0 what enters the first layer.
        layers: several hidden states side by side instead, in this order, or "all", from 0 to the output.
        revision: branch, tag or commit of a hub model; `spec` names the commit that it stood for.
        device: where the model runs.
    """

    _KEPT: ClassVar[int] = 20 * 50  # outputs of a window that are kept (20 s at 50 a second)
    _CONTEXT: ClassVar[int] = 2 * 50

    def __init__(
        self,
        model: str = "facebook/wav2vec2-large-xlsr-53",
        layer: int = -1,
        layers: list[int] | Literal["all"] | None = None,
        revision: str | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(model, layer, layers, revision, device)

    @property
    def _depth(self) -> int:
        return int(self._config.num_hidden_layers)

    @property
    def _hidden(self) -> int:
        return int(self._config.hidden_size)

    @property
    def _grid(self) -> tuple[float, int]:
        field, stride = self._field_and_stride
        return (field - 1) / 2, stride

    @property
    def _sizes(self) -> tuple[int, int]:
        return self._KEPT, self._CONTEXT

    def _open(self, audio: Samples, frames: int) -> Sound:
        field, stride = self._field_and_stride
        length = max(len(audio), samples_at(frames), field)
        mean, deviation = (
            _mean_and_deviation(audio, length) if self._extractor.do_normalize else (np.float32(0), np.float32(1))
        )

        def scaled(start: int, stop: int) -> NDArray[np.float32]:
            values: NDArray[np.float32] = (read_padded(audio, start, stop) - mean) / deviation
            return values

        return Sound(
            (length - field) // stride + 1,
            lambda first, last: scaled(first * stride, (last - 1) * stride + field),
            self._moments(scaled, length) if self._norm_over_time else None,
        )

    def _moments(self, scaled: Callable[[int, int], NDArray[np.float32]], length: int) -> NDArray[np.float32]:
        """Mean and variance of the first convolution's channels over a recording; reads 5 s at a time."""
        from wav2uti.speech.acoustic.norm import channel_moments

        kernel, step = self._config.conv_kernel[0], self._config.conv_stride[0]
        outputs, some = (length - kernel) // step + 1, 5 * SAMPLE_RATE // step
        pieces = (
            scaled(first * step, (min(first + some, outputs) - 1) * step + kernel) for first in range(0, outputs, some)
        )
        return channel_moments(self._loaded.to(self.device).feature_extractor.conv_layers[0].conv, pieces)

    def _states(self, inputs: Sequence[NDArray[np.float32]], sounds: Sequence[Sound]) -> list[NDArray[np.float32]]:
        import torch

        field, stride = self._field_and_stride
        model = self._loaded.to(self.device)
        longest = max(map(len, inputs))
        batch = torch.zeros(len(inputs), longest)
        mask = torch.zeros(len(inputs), longest, dtype=torch.long)
        for k, values in enumerate(inputs):
            batch[k, : len(values)] = torch.from_numpy(values)
            mask[k, : len(values)] = 1
        if sounds[0].moments is not None:
            moments = np.stack([sound.moments for sound in sounds if sound.moments is not None])
            model.feature_extractor.conv_layers[0].layer_norm.moments = torch.from_numpy(moments)
        masked = {} if bool(mask.all()) else {"attention_mask": mask.to(self.device)}
        with torch.inference_mode():
            states = self._stacked(model(batch.to(self.device), output_hidden_states=self._needs_all, **masked))
        return [part[: (len(values) - field) // stride + 1] for part, values in zip(states, inputs, strict=True)]

    def _alike(self, shorter: int, longer: int) -> bool:
        return shorter == longer or (self._can_mask and shorter >= 0.75 * longer)

    @property
    def _norm_over_time(self) -> bool:
        """Whether the first convolution is normalised over time; data2vec-audio's never is."""
        config = self._config
        return bool(config.model_type != "data2vec-audio" and getattr(config, "feat_extract_norm", "") == "group")

    @cached_property
    def _can_mask(self) -> bool:
        """Whether a shorter sound may be padded behind an attention mask without a change of its vectors.

        Only where the model was trained so (its extractor gives masks), its first convolution is not normalised over
        time, and a single convolution gives the positions: several, as in data2vec-audio, carry what is padded inwards.
        """
        kinds = ("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat")
        return bool(
            self._extractor.return_attention_mask
            and not self._norm_over_time
            and self._config.model_type in kinds
            and not getattr(self._config, "conv_pos_batch_norm", False)
        )

    @cached_property
    def _config(self) -> Any:
        from transformers import AutoConfig

        config = self._load(AutoConfig.from_pretrained)
        if not getattr(config, "conv_kernel", None) or not getattr(config, "conv_stride", None):
            raise InputError(
                f"The model {self.model} is a {config.model_type} model without wav2vec 2.0's convolutions: "
                f"give a wav2vec 2.0, HuBERT, WavLM or data2vec-audio model."
            )
        if getattr(config, "add_adapter", False):
            raise InputError(
                f"The model {self.model} has an adapter that changes the rate of its output: give one without."
            )
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

        self._chosen()  # another kind of model, or a layer too many, is named before a missing file
        extractor = self._load(AutoFeatureExtractor.from_pretrained)
        if type(extractor).__name__ != "Wav2Vec2FeatureExtractor" or extractor.sampling_rate != SAMPLE_RATE:
            raise InputError(
                f"The model {self.model} does not read sound at 16 kHz through wav2vec 2.0's feature extractor: "
                f"give one that does."
            )
        return extractor

    @cached_property
    def _loaded(self) -> Any:
        from transformers import AutoModel

        model = self._load_weights(AutoModel.from_pretrained)
        if self._norm_over_time:
            from wav2uti.speech.acoustic.norm import RecordingNorm

            first = model.feature_extractor.conv_layers[0]
            first.layer_norm = RecordingNorm(first.layer_norm)
        return model


def _mean_and_deviation(audio: Samples, length: int) -> tuple[np.float32, np.float32]:
    """What the feature extractor subtracts and divides by, for a recording followed by silence up to `length` samples.

    Read in pieces and summed in float64; within 1e-5 of the extractor's own float32 over the whole array.
    """
    total = squares = 0.0
    for start in range(0, len(audio), 60 * SAMPLE_RATE):
        piece = np.asarray(audio[start : start + 60 * SAMPLE_RATE], dtype=np.float64)
        total += float(piece.sum())
        squares += float(np.square(piece).sum())
    mean = total / length
    return np.float32(mean), np.float32(np.sqrt(max(squares / length - mean**2, 0.0) + 1e-7))
