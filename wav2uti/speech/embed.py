"""All embeddings of one recording: what `prepare` stores in a shard and `predict` computes for a new sound."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wav2uti.errors import InputError
from wav2uti.speech.acoustic import AcousticEncoder
from wav2uti.speech.textual import TextEncoder


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of one recording by the names of their encoders.

    Attributes:
        acoustic: float32 (T, width) each, one vector per video frame.
        text: float32 (L, width) each, one vector per token; L may be 0.
    """

    acoustic: dict[str, NDArray[np.float32]]
    text: dict[str, NDArray[np.float32]]


def embed(
    recording_audio: NDArray[np.float32],
    frames: int,
    text: str,
    acoustic: Sequence[AcousticEncoder],
    textual: Sequence[TextEncoder],
) -> Embeddings:
    """Run every encoder over a recording.

    Args:
        recording_audio: float32 (N,) at 16 kHz.
        frames: number of video frames, T.
        text: what was said; may be empty.
        acoustic: encoders of the sound.
        textual: encoders of the text.

    Raises:
        InputError: two encoders have one name, or an encoder gave values that are not finite.
    """
    for encoders in (acoustic, textual):
        names = [encoder.name for encoder in encoders]
        if len(set(names)) < len(names):
            raise InputError(f"Two encoders have one name among {', '.join(names)}: embed with one of them at a time.")
    embeddings = Embeddings(
        acoustic={encoder.name: encoder.encode(recording_audio, frames) for encoder in acoustic},
        text={encoder.name: encoder.encode(text) for encoder in textual},
    )
    for name, values in (embeddings.acoustic | embeddings.text).items():
        if not np.isfinite(values).all():
            raise InputError(f"The encoder {name} gave NaN or infinite values: check its weights.")
    return embeddings
