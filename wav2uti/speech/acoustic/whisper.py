"""Hidden states of Whisper's encoder."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from wav2uti.clock import SAMPLE_RATE, samples_at
from wav2uti.errors import InputError
from wav2uti.speech.acoustic.base import Samples, Sound, WindowedEncoder, read_padded


class WhisperEncoder(WindowedEncoder):
    """Hidden states of the encoder of a Whisper model; its decoder is not kept.

    Whisper reads 30 s at a time, a shorter sound followed by silence. Output j of a window stands at its sample 320 j:
    two mel frames 160 samples apart go into one output, and mel frame 2 j is centred on sample 320 j. Longer recordings
    run in overlapping windows, each output with at least 4 s of context, except at the ends of the recording.

    Whisper adds the place in the window to what it hears, so a seam cannot be invisible. The same speech 4 s further on
    in its window moved by this part of the vectors' length with tiny.en (hidden states 0 to 4, median over a minute):
    0.98, 0.69, 0.36, 0.27, 0.88. The states before the output (`layer=-2`) depend on the place least.

    Args:
        model: hub id or local folder.
        layer: which hidden state: -1 (or the number of layers) is the encoder's output, 0 what enters the first layer.
        layers: several hidden states side by side instead, in this order, or "all", from 0 to the output.
        revision: branch, tag or commit of a hub model; `spec` names the commit that it stood for.
        device: where the model runs.
    """

    _CONTEXT: ClassVar[int] = 4 * 50  # outputs on each side of a window that are not kept

    def __init__(
        self,
        model: str = "openai/whisper-large-v3",
        layer: int = -1,
        layers: list[int] | Literal["all"] | None = None,
        revision: str | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(model, layer, layers, revision, device)

    @property
    def _depth(self) -> int:
        return int(self._config.encoder_layers)

    @property
    def _hidden(self) -> int:
        return int(self._config.d_model)

    @property
    def _grid(self) -> tuple[float, int]:
        return 0.0, 2 * int(self._extractor.hop_length)  # the encoder's second convolution has a stride of 2

    @property
    def _sizes(self) -> tuple[int, int]:
        window = int(self._config.max_source_positions)
        context = min(self._CONTEXT, window // 4)
        return window - 2 * context, context

    def _open(self, audio: Samples, frames: int) -> Sound:
        stride = self._grid[1]
        outputs = -(-max(len(audio), samples_at(frames), 1) // stride)
        size = int(self._extractor.n_samples)
        return Sound(outputs, lambda first, last: read_padded(audio, first * stride, first * stride + size))

    def _states(self, inputs: Sequence[NDArray[np.float32]], sounds: Sequence[Sound]) -> list[NDArray[np.float32]]:
        import torch

        model = self._loaded.to(self.device)
        features = self._extractor(list(inputs), sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_features"]
        with torch.inference_mode():
            states = self._stacked(model(features.to(self.device), output_hidden_states=self._needs_all))
        return list(states)

    def _alike(self, shorter: int, longer: int) -> bool:
        return True  # every window is of 30 s, with silence behind the sound

    @cached_property
    def _config(self) -> Any:
        from transformers import AutoConfig

        config = self._load(AutoConfig.from_pretrained)
        if config.model_type != "whisper":
            raise InputError(f"The model {self.model} is a {config.model_type} model: give a Whisper model.")
        return config

    @cached_property
    def _extractor(self) -> Any:
        from transformers import AutoFeatureExtractor

        self._chosen()  # another kind of model, or a layer too many, is named before a missing file
        extractor = self._load(AutoFeatureExtractor.from_pretrained)
        if (
            type(extractor).__name__ != "WhisperFeatureExtractor"
            or extractor.sampling_rate != SAMPLE_RATE
            or extractor.feature_size != self._config.num_mel_bins
            or extractor.n_samples != 2 * extractor.hop_length * self._config.max_source_positions
        ):
            raise InputError(
                f"The feature extractor of the model {self.model} does not go with its encoder: "
                f"download preprocessor_config.json and config.json of one model."
            )
        return extractor

    @cached_property
    def _loaded(self) -> Any:
        from transformers import AutoModel

        # Through the whole model: the encoder's own class finds none of its weights in the files, and starts at random.
        return self._load_weights(AutoModel.from_pretrained).get_encoder()
