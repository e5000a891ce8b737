"""Which recordings train, validate and test."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wav2uti.corpus.shards import RecordingInfo
from wav2uti.errors import InputError

UTTERANCE_SHARE = 0.1  # of each speaker's recordings, once for validation and once for the test


class Split(NamedTuple):
    """Recordings of the three sets, in the corpus' order; no recording is in two of them."""

    train: list[RecordingInfo]
    val: list[RecordingInfo]
    test: list[RecordingInfo]


def split_by_speaker(
    infos: Sequence[RecordingInfo], test_speakers: int | Sequence[str], val_speakers: int | Sequence[str], seed: int
) -> Split:
    """Split so that no speaker is in two sets.

    Args:
        infos: all recordings.
        test_speakers: names of the speakers held out for the test, or how many to draw.
        val_speakers: the same for validation.
        seed: of the draw.

    Raises:
        InputError: an unknown name, a speaker in both lists, or no speaker left to train on.
    """
    speakers = sorted({info.speaker for info in infos})
    named = [name for given in (test_speakers, val_speakers) if not isinstance(given, int) for name in given]
    for name in named:
        if name not in speakers:
            raise InputError(f"There is no speaker {name!r} in the shards; they hold {', '.join(speakers)}.")
        if named.count(name) > 1:
            raise InputError(f"Speaker {name!r} is given twice; name each in test_speakers or val_speakers once.")
    counts = [given if isinstance(given, int) else len(given) for given in (test_speakers, val_speakers)]
    if min(counts) < 0:
        raise InputError("test_speakers and val_speakers must be names or numbers of 0 and more.")
    if sum(counts) >= len(speakers):
        raise InputError(
            f"{len(speakers)} speaker(s) are too few to hold out {counts[0]} for the test and {counts[1]} for "
            "validation and train on the others; hold out fewer, or use split: utterance."
        )
    free = [name for name in speakers if name not in named]
    drawn = [free[k] for k in np.random.default_rng(seed).permutation(len(free))]
    test = [drawn.pop() for _ in range(test_speakers)] if isinstance(test_speakers, int) else test_speakers
    val = [drawn.pop() for _ in range(val_speakers)] if isinstance(val_speakers, int) else val_speakers
    return Split(
        train=[info for info in infos if info.speaker not in test and info.speaker not in val],
        val=[info for info in infos if info.speaker in val],
        test=[info for info in infos if info.speaker in test],
    )


def split_as_given(infos: Sequence[RecordingInfo]) -> Split:
    """The split that the corpus states; recordings of which it states none are in no set.

    A speaker may be in several sets: `prepare` warns of it. Raises InputError where a set is empty that is needed.
    """
    split = Split(*([info for info in infos if info.split == name] for name in Split._fields))
    if not split.train or not split.test:
        raise InputError(
            f"Of {len(infos)} recording(s) the corpus states {len(split.train)} to train on and {len(split.test)} to "
            "test on: prepare it with a split (a column of a table, or folders train and test), or use split: speaker."
        )
    return split


def split_by_utterance(infos: Sequence[RecordingInfo], seed: int) -> Split:
    """Split within each speaker: a tenth of the recordings, one at least, to validation and as many to the test.

    Speakers are then known from training, which is easier than the paper's setting. A speaker with fewer than three
    recordings only trains. Raises InputError where no speaker has three.
    """
    by_speaker: dict[str, list[str]] = {}
    for info in sorted(infos, key=lambda info: (info.speaker, info.id)):
        by_speaker.setdefault(info.speaker, []).append(info.id)
    rng = np.random.default_rng(seed)
    val: set[str] = set()
    test: set[str] = set()
    for ids in by_speaker.values():
        held = max(1, round(UTTERANCE_SHARE * len(ids))) if len(ids) >= 3 else 0
        shuffled = [ids[k] for k in rng.permutation(len(ids))]
        val.update(shuffled[:held])
        test.update(shuffled[held : 2 * held])
    if not test:
        raise InputError(
            f"The {len(infos)} recording(s) are too few to split: at least one speaker must have three; "
            "prepare more recordings."
        )
    return Split(
        train=[info for info in infos if info.id not in val | test],
        val=[info for info in infos if info.id in val],
        test=[info for info in infos if info.id in test],
    )
