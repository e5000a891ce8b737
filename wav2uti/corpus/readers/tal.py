"""TaL: `name.ult` with `name.param` and `name.sync`, whose pulses are the exact times of the frames.

`name.mp4` beside them shows the lips and is not read.
"""

import re
from dataclasses import replace
from pathlib import Path

from wav2uti.corpus.raw import RawRecording
from wav2uti.corpus.readers.base import Candidate
from wav2uti.corpus.readers.scanlines import ScanlineReader
from wav2uti.errors import InputError

# The kind of prompt is the end of a name ("028_spo", "029_xsil"); x is for prompts that all speakers read.
_KIND = re.compile(r"\d+_x?([a-z]+)")
_SPEECHLESS = {"sil": "silent speech", "swa": "a swallow"}


class TaLReader(ScanlineReader):
    """Reader of the Tongue and Lips corpus; a recording without its own `.sync` has frames at the constant rate."""

    name = "tal"
    about = "the Tongue and Lips corpus TaL (.ult, .param, .sync, .wav)"

    def claims(self, metadata: Path | None, pulses_in_folder: bool) -> bool:
        return metadata is not None and metadata.suffix.lower() == ".param" and pulses_in_folder

    def open(self, candidate: Candidate, size: int) -> RawRecording:
        match = _KIND.fullmatch(candidate.path.stem.removesuffix("US"))
        kind = match[1] if match else ""
        if kind in _SPEECHLESS:
            raise InputError(f"{candidate.path} is {_SPEECHLESS[kind]} by its name: there is no speech to learn from.")
        raw = super().open(candidate, size)
        is_read_sentence = kind == "aud" and candidate.given.task is None
        return replace(raw, task="sentence") if is_read_sentence else raw
