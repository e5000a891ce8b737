"""ClipData: facts against numpy, batches, workers, and every mistake in a sentence."""

import json
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from tiny_corpus import FrameCounter, Letters, make_recording, write_corpus

from wav2uti.corpus.recording import Recording
from wav2uti.corpus.shards import Shard
from wav2uti.data.module import ClipData
from wav2uti.errors import InputError


def recordings(frames: int = 48, **fields: Any) -> list[Recording]:
    return [make_recording(f"{name}{k}", name, frames, **fields) for name in ("ann", "bob", "cem") for k in range(3)]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    write_corpus(tmp_path, recordings(), max_bytes=100_000)
    return str(tmp_path)


def data(shards: str | list[str], **options: Any) -> ClipData:
    module = ClipData(shards, **({"test_speakers": ["cem"], "val_speakers": ["bob"]} | options))
    module.setup("fit")
    return module


def test_facts_are_json_and_agree_with_numpy(folder: str) -> None:
    facts = data(folder, reference="speaker").facts
    assert json.loads(json.dumps(facts)) == facts
    frames = np.concatenate([r.frames for r in recordings() if r.speaker == "ann"]) / 127.5 - 1
    assert facts.pop("frame_mean") == pytest.approx(frames.mean(), abs=1e-9)
    assert facts.pop("frame_std") == pytest.approx(frames.std(), abs=1e-9)
    assert facts == {
        "size": 12,
        "frame_step": 1,
        "acoustic": {"name": "frame-counter", "spec": FrameCounter().spec(), "width": 3, "layers": 1},
        "text": {"name": "letters", "spec": Letters().spec(), "width": 2},
        "text_times": False,
        "reference": True,
        "simulated": False,
        "mm_per_pixel": None,
        "clip_frames": 16,
        "acoustic_context": 8,
    }


def test_facts_of_a_scaled_simulated_corpus(tmp_path: Path) -> None:
    write_corpus(tmp_path, recordings(simulated=True, source="simulated", mm_per_pixel=0.5))
    facts = data(str(tmp_path)).facts
    assert facts["simulated"] is True
    assert facts["mm_per_pixel"] == 0.5
    write_corpus(tmp_path, [make_recording("other", "dan", mm_per_pixel=0.25)])
    assert data(str(tmp_path)).facts["mm_per_pixel"] is None


def test_statistics_of_a_large_corpus_are_sampled_and_quick(tmp_path: Path) -> None:
    names = ("ann", "bob", "cem", "dan")
    write_corpus(tmp_path, (make_recording(f"{n}{k}", n, 64, size=8) for n in names for k in range(50)))
    start = time.perf_counter()
    facts = data(str(tmp_path)).facts
    assert time.perf_counter() - start < 5  # 0.3 s on an idle machine
    assert facts["frame_mean"] == pytest.approx(0, abs=0.02)  # uniform noise on [-1, 1]
    assert facts["frame_std"] == pytest.approx(1 / 3**0.5, abs=0.02)
    assert data(str(tmp_path)).facts == facts


def test_batches_have_the_shapes_and_ranges_of_the_contract(folder: str) -> None:
    batch = next(iter(data(folder, batch_size=3, reference="speaker").train_dataloader()))
    shapes = {name: tuple(value.shape) for name, value in batch.items() if name != "ids"}
    assert shapes == {
        "frames": (3, 1, 16, 12, 12),
        "acoustic": (3, 8 + 16 + 8, 3),
        "progress": (3, 8 + 16 + 8),
        "text": (3, 8, 2),
        "text_mask": (3, 8),
        "text_places": (3, 8),
        "reference": (3, 1, 12, 12),
    }
    assert all(value.dtype == torch.float32 for name, value in batch.items() if name not in ("ids", "text_mask"))
    for name, low in (("frames", -1), ("reference", -1)):
        assert low <= batch[name].min()
        assert batch[name].max() <= 1
    within = batch["progress"][:, 8:-8]
    assert 0 < within.min() < within.max() < 1
    assert all(id.startswith("ann") for id in batch["ids"])
    assert "text" not in next(iter(data(folder, text="none").val_dataloader()))


def test_two_workers_give_what_none_gives(folder: str) -> None:
    def train(workers: int) -> list[Any]:
        loader = data(folder, batch_size=2, reference="speaker", num_workers=workers).train_dataloader()
        return [batch for _ in range(2) for batch in loader]

    for alone, together in zip(train(0), train(2), strict=True):
        assert alone["ids"] == together["ids"]
        assert all(torch.equal(alone[name], together[name]) for name in alone if name != "ids")


def test_test_set_is_every_clip_once(folder: str) -> None:
    loader = data(folder, batch_size=4, text="none").test_dataloader()
    batches = list(loader)
    assert [len(batch["ids"]) for batch in batches] == [4, 4, 1]
    firsts = torch.cat([batch["acoustic"][:, 8, 0] for batch in batches]).tolist()
    assert sorted(firsts) == sorted([0, 16, 32] * 3)


def test_only_training_drops_the_last_batch_unless_it_is_the_only_one(folder: str) -> None:
    assert [len(batch["ids"]) for batch in data(folder, batch_size=4).train_dataloader()] == [4, 4]
    assert [len(batch["ids"]) for batch in data(folder, batch_size=99).train_dataloader()] == [9]


def test_trainer_gives_another_order_each_epoch(folder: str) -> None:
    class Recorder(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.seen: list[list[float]] = [[], []]

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            self.seen[self.current_epoch] += batch["acoustic"][:, 0, 0].tolist()
            return self.weight * batch["frames"].mean()

        def validation_step(self, batch: Any, index: int) -> None: ...

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def seen() -> list[list[float]]:
        model = Recorder()
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = pl.Trainer(max_epochs=2, accelerator="cpu", enable_model_summary=False, **quiet)
        trainer.fit(model, ClipData(folder, test_speakers=0, val_speakers=1))
        return model.seen

    first = seen()
    assert len(first[0]) == 16  # 18 clips in batches of 4
    assert first[0] != first[1]
    assert seen() == first


def test_short_recordings_are_left_out_with_one_warning(tmp_path: Path) -> None:
    short = [make_recording("ann8", "ann", 15), make_recording("cem8", "cem", 9)]
    write_corpus(tmp_path, recordings() + short)
    with pytest.warns(UserWarning, match=r"2 recording\(s\) shorter than a clip of 16 frames") as caught:
        module = data(str(tmp_path))
    module.train_dataloader()
    assert len([w for w in caught if "shorter" in str(w.message)]) == 1
    assert "ann8" not in [info.id for info in module.split.train]
    with pytest.raises(InputError, match=r"as long as a clip \(50 frames\); make clip_frames smaller"):
        data(str(tmp_path), clip_frames=50)


def test_no_validation_and_no_test_set(folder: str) -> None:
    module = data(folder, test_speakers=0, val_speakers=0)
    assert module.val_dataloader() == []
    with pytest.raises(InputError, match="held out for the test; set test_speakers"):
        module.test_dataloader()


def test_utterance_split_needs_no_speakers(tmp_path: Path) -> None:
    write_corpus(tmp_path, [make_recording(f"r{k}") for k in range(3)])
    with pytest.raises(InputError, match="use split: utterance"):
        ClipData(str(tmp_path)).setup("fit")
    module = ClipData(str(tmp_path), split="utterance")
    assert [len(part) for part in module.split] == [1, 1, 1]


def test_missing_shards(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make them with wav2uti simulate or wav2uti prepare"):
        ClipData(str(tmp_path)).setup("fit")


def test_encoders_must_be_stored_and_be_named_where_there_are_several(tmp_path: Path) -> None:
    class Other(FrameCounter):
        name = "other"

    write_corpus(tmp_path, recordings(), acoustic=[FrameCounter(), Other()], text=[])
    with pytest.raises(InputError, match=r"these acoustic encoders: frame-counter, other; name one as data\.acoustic"):
        data(str(tmp_path))
    facts = data(str(tmp_path), acoustic="other").facts
    assert facts["acoustic"]["name"] == "other"
    assert facts["text"] is None
    with pytest.raises(InputError, match=r"no embeddings of the text encoder 'bert', only of: none; add them with"):
        data(str(tmp_path), acoustic="other", text="bert")


def test_shards_that_do_not_fit_together(tmp_path: Path) -> None:
    one, same, larger = tmp_path / "one", tmp_path / "same", tmp_path / "larger"
    write_corpus(one, recordings())
    write_corpus(same, recordings()[:1])
    write_corpus(larger, [make_recording("large", size=16)])
    with pytest.raises(InputError, match=r"'ann0' is both in .*one.* and in .*same"):
        data([str(one), str(same)])
    with pytest.raises(InputError, match=r"\(12, 12\) and .*larger.* of \(16, 16\); prepare"):
        data([str(one), str(larger)])


def test_times_of_the_text_are_used_where_asked_for(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: dict[str, Any] = {}
    monkeypatch.setattr(Shard, "text_times", lambda self, id, encoder: nothing.get(id), raising=False)
    with pytest.raises(InputError, match=r"no recording in .* has word times for the text encoder 'letters'"):
        data(folder, text_times=True)
    with pytest.raises(InputError, match=r"the data use none: set data\.text"):
        data(folder, text_times=True, text="none")
    nothing["ann0"] = np.full((8, 2), 0.4, dtype=np.float32)  # 0.4 s of 0.8 s
    module = data(folder, text_times=True, batch_size=9)
    assert module.facts["text_times"] is True
    (batch,) = module.train_dataloader()
    for id, places in zip(batch["ids"], batch["text_places"], strict=True):
        expected = torch.full((8,), 0.5) if id == "ann0" else (torch.arange(8) + 0.5) / 8
        torch.testing.assert_close(places, expected, rtol=1e-5, atol=1e-6)


def test_layers_of_an_encoder_reach_the_facts(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = data(folder)._opened[0].encoders
    stored["acoustic"]["frame-counter"]["layers"] = 3
    monkeypatch.setattr(Shard, "encoders", stored)
    assert data(folder).facts["acoustic"]["layers"] == 3


def test_reference_of_no_frame_is_refused(folder: str) -> None:
    with pytest.raises(InputError, match="reference_frames must be 1 or more, not 0"):
        data(folder, reference_frames=0)


def test_text_of_some_shards_may_be_transcribed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path / "given", recordings()[:6])
    write_corpus(tmp_path / "heard", recordings()[6:])
    stored = Shard.encoders

    def encoders(shard: Shard) -> dict[str, Any]:
        entries: dict[str, Any] = stored.fget(shard)  # type: ignore[attr-defined]
        if shard.path.parent.name == "heard":
            entries["text"]["letters"]["transcriber"] = {"class": "Transcriber"}
        return entries

    monkeypatch.setattr(Shard, "encoders", property(encoders))
    facts = data([str(tmp_path / "given"), str(tmp_path / "heard")]).facts
    assert facts["text"]["transcriber"] == {"class": "Transcriber"}


def test_a_stage_has_its_own_size_and_frame_rate(tmp_path: Path) -> None:
    write_corpus(tmp_path, recordings(mm_per_pixel=0.5))
    module = data(str(tmp_path), size=4, frame_step=3, clip_frames=8, reference="speaker", acoustic_context=2)
    facts = module.facts
    assert (facts["size"], facts["frame_step"], facts["mm_per_pixel"]) == (4, 3, 1.5)
    stored = np.concatenate([r.frames for r in recordings() if r.speaker == "ann"]) / 127.5 - 1
    blocks = stored.reshape(-1, 4, 3, 4, 3).mean(axis=(2, 4))
    assert facts["frame_mean"] == pytest.approx(blocks.mean(), abs=1e-9)
    assert facts["frame_std"] == pytest.approx(blocks.std(), abs=1e-9)
    batches = list(module.test_dataloader())
    assert sum(len(batch["ids"]) for batch in batches) == 6  # two clips of 24 recorded frames in 48
    assert batches[0]["frames"].shape == (4, 1, 8, 4, 4)
    assert batches[0]["acoustic"].shape == (4, 12, 3)
    assert batches[0]["reference"].shape == (4, 1, 4, 4)
    assert batches[0]["mm_per_pixel"].tolist() == [1.5] * 4
    assert batches[0]["acoustic"][:, 2:, 0].diff(dim=1)[:, :7].eq(3).all()
    assert next(iter(module.train_dataloader()))["frames"].shape == (4, 1, 8, 4, 4)


def test_sizes_and_steps_that_cannot_be(folder: str) -> None:
    with pytest.raises(InputError, match=r"data\.size is 13 and the frames of .* are 12x12: give a size up to 12"):
        data(folder, size=13)
    with pytest.raises(InputError, match=r"frame_step \(0\) and data\.size \(None\) must be 1 or more"):
        data(folder, frame_step=0)
    with pytest.raises(InputError, match=r"as long as a clip \(64 frames\)"):
        data(folder, frame_step=4)
