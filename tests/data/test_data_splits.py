"""Splits: disjoint, repeatable, and honest about too few speakers."""

from dataclasses import replace
from pathlib import Path

import pytest

from wav2uti.corpus.shards import RecordingInfo
from wav2uti.data.splits import Split, split_as_given, split_by_speaker, split_by_utterance
from wav2uti.errors import InputError


def corpus(speakers: int, utterances: int) -> list[RecordingInfo]:
    return [
        RecordingInfo(
            id=f"s{s}u{u}",
            shard=Path("a.h5"),
            frames=60,
            size=(8, 8),
            has_reference=False,
            speaker=f"s{s}",
            task="word",
            text="",
            language="",
            source="",
            simulated=False,
            mm_per_pixel=None,
        )
        for s in range(speakers)
        for u in range(utterances)
    ]


def speakers_of(infos: list[RecordingInfo]) -> set[str]:
    return {info.speaker for info in infos}


def assert_a_partition(split: Split, infos: list[RecordingInfo]) -> None:
    assert sorted(i.id for part in split for i in part) == sorted(i.id for i in infos)


@pytest.mark.parametrize("seed", range(5))
def test_speakers_are_in_one_set_only(seed: int) -> None:
    infos = corpus(8, 3)
    split = split_by_speaker(infos, 2, 1, seed)
    assert [len(speakers_of(part)) for part in split] == [5, 1, 2]
    assert_a_partition(split, infos)
    assert split == split_by_speaker(infos, 2, 1, seed)


def test_the_draw_depends_on_the_seed_and_not_on_the_order() -> None:
    infos = corpus(8, 3)
    held = {frozenset(speakers_of(split_by_speaker(infos, 2, 1, seed).test)) for seed in range(20)}
    assert len(held) > 5
    backwards = split_by_speaker(infos[::-1], 2, 1, 0)
    assert speakers_of(backwards.test) == speakers_of(split_by_speaker(infos, 2, 1, 0).test)


def test_named_speakers_are_held_out() -> None:
    infos = corpus(5, 2)
    split = split_by_speaker(infos, ["s1", "s3"], ["s0"], seed=0)
    assert [speakers_of(part) for part in split] == [{"s2", "s4"}, {"s0"}, {"s1", "s3"}]
    mixed = split_by_speaker(infos, ["s1"], 1, seed=0)
    assert speakers_of(mixed.test) == {"s1"}
    assert "s1" not in speakers_of(mixed.val)
    assert_a_partition(mixed, infos)


def test_no_speaker_held_out() -> None:
    assert split_by_speaker(corpus(1, 2), 0, 0, seed=0) == Split(corpus(1, 2), [], [])


def test_mistakes_are_told() -> None:
    infos = corpus(2, 5)
    with pytest.raises(InputError, match=r"2 speaker\(s\) are too few .*split: utterance"):
        split_by_speaker(infos, 1, 1, seed=0)
    with pytest.raises(InputError, match="no speaker 'zoe' in the shards; they hold s0, s1"):
        split_by_speaker(infos, ["zoe"], 0, seed=0)
    with pytest.raises(InputError, match="'s0' is given twice"):
        split_by_speaker(corpus(4, 1), ["s0"], ["s0"], seed=0)
    with pytest.raises(InputError, match="0 and more"):
        split_by_speaker(infos, -1, 0, seed=0)
    with pytest.raises(InputError, match="at least one speaker must have three"):
        split_by_utterance(corpus(3, 2), seed=0)


def test_utterances_are_held_out_of_every_speaker() -> None:
    infos = corpus(3, 20)
    split = split_by_utterance(infos, seed=0)
    assert [len(part) for part in split] == [48, 6, 6]
    assert_a_partition(split, infos)
    assert speakers_of(split.test) == speakers_of(split.val) == {"s0", "s1", "s2"}
    assert split == split_by_utterance(infos, seed=0)
    assert split != split_by_utterance(infos, seed=1)
    assert [len(part) for part in split_by_utterance(corpus(1, 3), seed=0)] == [1, 1, 1]


def test_the_split_that_the_corpus_states() -> None:
    names = ["train", "test", "", "val", "train"]
    infos = [replace(info, split=name) for info, name in zip(corpus(5, 1), names, strict=True)]
    assert split_as_given(infos) == Split([infos[0], infos[4]], [infos[3]], [infos[1]])
    with pytest.raises(InputError, match=r"Of 4 recording\(s\) the corpus states 0 to train on and 0 to test on"):
        split_as_given(corpus(2, 2))
