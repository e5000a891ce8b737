"""All encoders over one recording."""

import numpy as np
import pytest

from wav2uti.errors import InputError
from wav2uti.speech.acoustic import LogMel
from wav2uti.speech.embed import embed
from wav2uti.speech.textual import CharacterCodes


def test_embed_runs_every_encoder() -> None:
    embeddings = embed(np.zeros(16000, dtype=np.float32), 60, "ka", [LogMel(), LogMel(40)], [CharacterCodes()])
    assert {name: values.shape for name, values in embeddings.acoustic.items()} == {
        "logmel": (60, 80),
        "logmel40": (60, 40),
    }
    assert {name: values.shape for name, values in embeddings.text.items()} == {"characters64": (2, 64)}


def test_embed_refuses_two_encoders_of_one_name() -> None:
    with pytest.raises(InputError, match="one name"):
        embed(np.zeros(16000, dtype=np.float32), 60, "", [LogMel(), LogMel()], [])


def test_embed_refuses_values_that_are_not_finite() -> None:
    with pytest.raises(InputError, match="logmel"):
        embed(np.full(16000, np.nan, dtype=np.float32), 60, "", [LogMel()], [])
