"""Speech to draw from what the user has: sound files with what lies beside them, and recordings of a corpus."""

from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2uti.corpus.formats.prompt import read_prompt
from wav2uti.corpus.formats.textgrid import read_textgrid, words_and_phones
from wav2uti.corpus.readers.base import beside
from wav2uti.corpus.recording import Interval
from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.errors import InputError
from wav2uti.speech.audio import read_speech
from wav2uti.video.results import Speech

_TRACK = "_Track0"  # AAA's ending of a sound's name, which its other files do not have


def from_sound(
    path: Path,
    name: str | None = None,
    text: str | None = None,
    textgrid: Path | None = None,
    reference: NDArray[np.uint8] | None = None,
) -> Speech:
    """A sound file with its words, as `prepare` finds them: `NAME.txt` and `NAME.TextGrid` beside it.

    The text is the one given, else that of the prompt file, else the words of the TextGrid in their order.

    Args:
        path: of the sound.
        name: what the results are called; the file's own without its ending where it is None.
        text: what is said.
        textgrid: a TextGrid that does not lie beside the sound.
        reference: a frame of the speaker, uint8 (H, W).

    Raises:
        InputError: the sound, the prompt file or the TextGrid cannot be read.
    """
    audio = read_speech(path)
    stem = path.stem.removesuffix(_TRACK)
    prompt = beside(path, f"{path.stem}.txt", f"{stem}.txt")
    if text is None and prompt is not None:
        text = read_prompt(prompt).text or None
    grid = textgrid or beside(path, f"{path.stem}.TextGrid", f"{stem}.TextGrid", f"{stem}.textgrid")
    content: bytes | None = None
    words: tuple[Interval, ...] = ()
    phones: tuple[Interval, ...] = ()
    if grid is not None:
        words, phones = words_and_phones(read_textgrid(grid), text or "")
        content = grid.read_bytes()
        text = text or " ".join(word.label for word in words) or None
    return Speech(
        name or path.stem,
        audio,
        text,
        reference,
        words=words,
        phones=phones,
        textgrid=content,
        recorded=datetime.fromtimestamp(path.stat().st_mtime),
    )


def from_shards(shards: Path, recording: str) -> Speech:
    """A recording of a corpus, with its text, words, phones, reference frame and real frames.

    Raises:
        InputError: there is no such recording, or it cannot be read.
    """
    for path in find_shards(shards):
        shard = Shard(path)
        if recording in shard.ids:
            found = shard.recording(recording)
            return Speech(
                recording,
                found.audio,
                found.text or None,
                found.reference,
                found.frames,
                found.words,
                simulated=found.simulated,
                phones=found.phones,
                mm_per_pixel=found.mm_per_pixel,
            )
    raise InputError(f"There is no recording {recording!r} in the shards of {shards}.")
