"""Acoustic embeddings of speech: one vector for each 60 Hz video frame.

Frame k stands k / 60 s after the first sample, the instant that its picture shows, whatever the encoder's own rate.
"""

from typing import Any

from wav2uti.speech.acoustic.base import AcousticEncoder, Samples, frame_places
from wav2uti.speech.acoustic.logmel import LogMel, mel_filters, speech_level
from wav2uti.speech.acoustic.wav2vec2 import Wav2Vec2
from wav2uti.speech.acoustic.whisper import WhisperEncoder
from wav2uti.speech.spec import built

__all__ = [
    "AcousticEncoder",
    "LogMel",
    "Samples",
    "Wav2Vec2",
    "WhisperEncoder",
    "build_acoustic",
    "frame_places",
    "mel_filters",
    "speech_level",
]

_ENCODERS: dict[str, type[AcousticEncoder]] = {"LogMel": LogMel, "Wav2Vec2": Wav2Vec2, "WhisperEncoder": WhisperEncoder}


def build_acoustic(spec: dict[str, Any], device: str = "cpu") -> AcousticEncoder:
    """The encoder that `spec` describes, to run on `device`: of this package, or of another that its user trusts.

    >>> build_acoustic({"class": "LogMel", "args": {"bands": 40}}).name
    'logmel40'
    """
    encoder = built(spec, _ENCODERS, AcousticEncoder, "acoustic encoder")  # type: ignore[type-abstract]
    encoder.device = device
    return encoder
