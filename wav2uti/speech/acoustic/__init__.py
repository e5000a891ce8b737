"""Acoustic embeddings of speech: one vector for each 60 Hz video frame.

Frame k stands k / 60 s after the first sample, the instant that its picture shows, whatever the encoder's own rate.
"""

from typing import Any

from wav2uti.errors import InputError
from wav2uti.speech.acoustic.base import AcousticEncoder, Samples, frame_places
from wav2uti.speech.acoustic.logmel import LogMel, mel_filters, speech_level
from wav2uti.speech.acoustic.wav2vec2 import Wav2Vec2
from wav2uti.speech.acoustic.whisper import WhisperEncoder

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
    """The encoder that `spec` describes, to run on `device`; only classes of this package.

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
