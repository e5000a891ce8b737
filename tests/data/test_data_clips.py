"""Clips: what a place in a recording gives, how clips are batched, in which order they come."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_corpus import make_recording, write_corpus
from torch.utils.data.distributed import DistributedSampler

from wav2uti.corpus.shards import RecordingInfo, Shard
from wav2uti.data.batch import Clip, collate
from wav2uti.data.clips import ClipDataset, choose_references, long_enough
from wav2uti.data.order import ClipSampler, EveryClip
from wav2uti.data.pictures import Pictures

REFERENCE = np.full((12, 12), 255, dtype=np.uint8)


@pytest.fixture
def infos(tmp_path: Path) -> list[RecordingInfo]:
    recordings = [
        make_recording("a1", "ann", frames=40),
        make_recording("a2", "ann", frames=33),
        make_recording("b1", "bob", frames=20),
        make_recording("c1", "cem", frames=16, reference=REFERENCE),
        make_recording("c2", "cem", frames=17, text=""),
    ]
    shard = Shard(write_corpus(tmp_path, recordings)[0])
    return [shard.info(id) for id in shard.ids]


def test_clip_is_cut_where_asked(infos: list[RecordingInfo]) -> None:
    clip = ClipDataset(infos, 8, "frame-counter", "letters")[0, 5]
    frames = make_recording("a1").frames[5:13].astype(np.float64)
    assert clip.frames.shape == (1, 8, 12, 12)
    np.testing.assert_array_equal(clip.frames[0].numpy(), frames)
    np.testing.assert_allclose(collate([clip])["frames"][0, 0].numpy(), frames * 2 / 255 - 1, atol=1e-6)
    assert clip.acoustic[:, 0].tolist() == list(range(5, 13))
    assert clip.text is not None
    assert "".join(chr(int(code)) for code in clip.text[:, 0]) == "say a1"
    np.testing.assert_allclose(clip.progress.numpy(), (np.arange(5, 13) + 0.5) / 40, rtol=1e-6)
    assert clip.reference is None
    assert clip.text_places is not None
    np.testing.assert_allclose(clip.text_places.numpy(), (np.arange(6) + 0.5) / 6, rtol=1e-6)


def test_tokens_stand_at_their_times_where_they_are_known(
    infos: list[RecordingInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = np.arange(6, dtype=np.float32)[:, None] * 0.1
    times = np.concatenate([letters, letters + 0.1], axis=1)  # s, in a recording of 40 / 60 s
    known = {"a1": times}
    monkeypatch.setattr(Shard, "text_times", lambda self, id, encoder: known.get(id), raising=False)

    def places(recording: int, timed: bool) -> np.ndarray:
        found = ClipDataset(infos, 8, "frame-counter", "letters", text_times=timed)[recording, 5].text_places
        assert found is not None
        return found.numpy()

    even = (np.arange(6) + 0.5) / 6
    np.testing.assert_allclose(places(0, timed=True), (np.arange(6) + 0.5) * 0.1 * 60 / 40, rtol=1e-5)
    np.testing.assert_allclose(places(0, timed=False), even, rtol=1e-6)
    np.testing.assert_allclose(places(1, timed=True), even, rtol=1e-6)
    assert places(4, timed=True).shape == (0,)


def test_sound_comes_with_its_context(infos: list[RecordingInfo]) -> None:
    clips = ClipDataset(infos, 8, "frame-counter", context=3)
    assert clips[0, 5].acoustic[:, 0].tolist() == list(range(2, 16))
    assert clips[0, 0].acoustic[:, 0].tolist() == [0, 0, 0, *range(11)]  # held beyond the ends
    assert clips[0, 32].acoustic[:, 0].tolist() == [*range(29, 40), 39, 39, 39]
    np.testing.assert_allclose(clips[0, 0].progress.numpy(), (np.arange(-3, 11) + 0.5) / 40, rtol=1e-6)


def test_reference_frame_is_of_the_speaker_and_never_of_the_clip(infos: list[RecordingInfo]) -> None:
    clips = ClipDataset(infos, 16, "frame-counter", references=choose_references(infos))

    def reference(recording: int, start: int) -> np.ndarray:
        frame = clips[recording, start].reference
        assert frame is not None
        return (frame[0].numpy() + 1) * 127.5

    np.testing.assert_allclose(reference(0, 0), make_recording("a2", frames=33).frames[16], atol=1e-4)
    np.testing.assert_allclose(reference(1, 0), make_recording("a1").frames[20], atol=1e-4)
    own = make_recording("b1", frames=20).frames
    np.testing.assert_allclose(reference(2, 2), own[[0, 1, 18, 19]].mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(reference(3, 0), REFERENCE)
    np.testing.assert_allclose(reference(4, 0), make_recording("c1", frames=16).frames[8], atol=1e-4)


def test_reference_may_be_the_mean_of_several_frames(infos: list[RecordingInfo]) -> None:
    clips = ClipDataset(infos, 16, "frame-counter", references=choose_references(infos), reference_frames=4)

    def reference(recording: int) -> np.ndarray:
        frame = clips[recording, 0].reference
        assert frame is not None
        return (frame[0].numpy() + 1) * 127.5

    other = make_recording("a1").frames  # 40 frames: the middles of its quarters
    np.testing.assert_allclose(reference(1), other[[5, 15, 25, 35]].mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(reference(3), REFERENCE)  # stored with the recording: stays as it is
    whole = ClipDataset(infos, 16, "frame-counter", references=choose_references(infos), reference_frames=1)[1, 0]
    assert whole.reference is not None
    np.testing.assert_allclose((whole.reference[0].numpy() + 1) * 127.5, other[20], atol=1e-4)


def test_recording_that_must_give_its_own_reference_needs_a_frame_more(infos: list[RecordingInfo]) -> None:
    references = choose_references(infos)
    by_id = {info.id: info for info in infos}
    assert long_enough(by_id["b1"], 20, None)
    assert not long_enough(by_id["b1"], 20, references)
    assert long_enough(by_id["c1"], 16, references)


def test_collate_pads_and_masks_text() -> None:
    def clip(tokens: int) -> Clip:
        text, places = torch.ones(tokens, 2), torch.full((tokens,), 0.5)
        return Clip("x", torch.zeros(1, 4, 6, 6), torch.zeros(4, 3), torch.zeros(4), text, places)

    batch = collate([clip(2), clip(0), clip(3)])
    assert batch["text"].shape == (3, 3, 2)
    assert batch["text_mask"].tolist() == [[True, True, False], [False] * 3, [True] * 3]
    assert batch["text_mask"].dtype == torch.bool
    assert torch.equal(batch["text"].sum(dim=(1, 2)), torch.tensor([4.0, 0.0, 6.0]))
    assert batch["text_places"].tolist() == [[0.5, 0.5, 0.0], [0.0] * 3, [0.5] * 3]
    empty = collate([clip(0), clip(0)])
    assert empty["text"].shape == (2, 0, 2)
    assert empty["text_mask"].shape == empty["text_places"].shape == (2, 0)


def test_collate_leaves_out_what_the_data_do_not_use() -> None:
    clip = Clip("x", torch.zeros(1, 4, 6, 6), torch.zeros(4, 3), torch.zeros(4))
    assert set(collate([clip, clip])) == {"ids", "frames", "acoustic", "progress"}
    assert collate([clip._replace(reference=torch.zeros(1, 6, 6))] * 2)["reference"].shape == (2, 1, 6, 6)


def test_sampler_takes_every_recording_at_random_places(infos: list[RecordingInfo]) -> None:
    sampler = ClipSampler(infos, 8, seed=3)
    assert len(sampler) == 5 + 4 + 2 + 2 + 2
    first = list(sampler)
    assert sorted(recording for recording, _ in first) == [0] * 5 + [1] * 4 + [2] * 2 + [3] * 2 + [4] * 2
    assert all(0 <= start <= infos[recording].frames - 8 for recording, start in first)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(ClipSampler(infos, 8, seed=4)) != first


def test_every_start_is_drawn_and_none_beyond_the_end(infos: list[RecordingInfo]) -> None:
    sampler = ClipSampler([infos[4]], 16, seed=0)  # 17 frames: starts 0 and 1
    starts = set()
    for epoch in range(20):
        sampler.set_epoch(epoch)
        starts.update(start for _, start in sampler)
    assert starts == {0, 1}


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_batches_of_all_processes_are_those_of_one(processes: int, infos: list[RecordingInfo]) -> None:
    whole = ClipSampler(infos, 8, seed=3).order(2)
    shares = [ClipSampler(infos, 8, 3, processes, rank) for rank in range(processes)]
    for share in shares:
        share.set_epoch(2)
    assert {len(share) for share in shares} == {len(whole) // processes}
    together = [clip for clips in zip(*shares, strict=True) for clip in clips]
    assert together == whole[: len(together)]


def test_an_epoch_goes_on_at_its_place(infos: list[RecordingInfo]) -> None:
    whole, sampler = ClipSampler(infos, 8, seed=3), ClipSampler(infos, 8, 3, processes=2, rank=1)
    sampler.place = lambda: (4, 3)
    assert list(sampler) == whole.order(4)[1::2][:7][3:]


def test_lightning_does_not_share_it_out_once_more(infos: list[RecordingInfo]) -> None:
    assert isinstance(ClipSampler(infos, 8, seed=3), DistributedSampler)


def test_every_clip_comes_once_without_overlap_in_a_fixed_order(infos: list[RecordingInfo]) -> None:
    expected = [(0, 0), (0, 16), (1, 0), (1, 16), (2, 0), (3, 0), (4, 0)]
    clips = list(EveryClip(infos, 16))
    assert sorted(clips) == expected
    assert clips != expected  # mixed: the first few are of all recordings
    assert clips == list(EveryClip(infos, 16))
    assert len(EveryClip(infos, 16)) == 7


def test_clip_of_an_earlier_stage_is_smaller_and_slower(infos: list[RecordingInfo]) -> None:
    clip = ClipDataset(infos, 4, "frame-counter", context=2, pictures=Pictures(6, 3))[0, 5]
    frames = make_recording("a1").frames[[5, 8, 11, 14]].astype(np.float64)
    blocks = frames.reshape(4, 6, 2, 6, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(clip.frames[0].numpy(), blocks / 127.5 - 1, atol=1e-6)
    assert clip.acoustic[:, 0].tolist() == [0, 2, 5, 8, 11, 14, 17, 20]  # held before the first frame
    np.testing.assert_allclose(clip.progress.numpy(), (np.arange(-1, 21, 3) + 1.5) / 40, rtol=1e-6)


def test_references_are_in_the_size_of_the_stage(infos: list[RecordingInfo]) -> None:
    references = choose_references(infos)
    whole = ClipDataset(infos, 16, "frame-counter", references=references)
    small = ClipDataset(infos, 8, "frame-counter", references=references, pictures=Pictures(4, 2))
    for recording in range(4):  # another recording's frame, the rest of the own, a stored one
        one, other = whole[recording, 0].reference, small[recording, 0].reference
        assert one is not None
        assert other is not None
        blocks = one[0].unflatten(0, (4, 3)).unflatten(2, (4, 3)).mean(dim=(1, 3))
        torch.testing.assert_close(other[0], blocks, atol=1e-6, rtol=0)


def test_contour_and_scale_follow_the_size(tmp_path: Path) -> None:
    # A bright pixel of the small frame is two by two stored ones: its middle lies between theirs.
    frames = np.zeros((16, 12, 12), dtype=np.uint8)
    frames[:, 4:6, 8:10] = 255
    contour = np.full((16, 1, 2), (8.5, 4.5), dtype=np.float32)
    recording = make_recording("a", frames=16)
    given = {"frames": frames, "contour": contour, "mm_per_pixel": 0.5}
    shard = Shard(write_corpus(tmp_path, [dataclasses.replace(recording, **given)])[0])  # type: ignore[arg-type]
    clip = ClipDataset([shard.info("a")], 8, "frame-counter", known=True, pictures=Pictures(6, 2))[0, 0]
    assert clip.known is not None
    assert clip.known.mm_per_pixel == 1.0
    assert clip.known.contour is not None
    x, y = clip.known.contour[0, 0].tolist()
    assert clip.known.contour.shape == (8, 1, 2)
    assert (x, y) == (4, 2)
    assert clip.frames[0, 0, int(y), int(x)] == 1
    assert clip.frames[0, 0].sum() == 1 - 35


def test_sizes_that_do_not_divide_are_antialiased(infos: list[RecordingInfo]) -> None:
    small = ClipDataset(infos, 8, "frame-counter", pictures=Pictures(5))[0, 0].frames
    assert small.shape == (1, 8, 5, 5)
    whole = collate([ClipDataset(infos, 8, "frame-counter")[0, 0]])["frames"][0]
    assert abs(float(small.mean() - whole.mean())) < 0.02
    assert small.std() < 0.6 * whole.std()  # of noise, most goes
