"""`ClipData`: shards in, batches of clips out."""

import json
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import DataLoader, Sampler

from wav2uti.clock import FPS
from wav2uti.corpus.shards import RecordingInfo, Shard, find_shards
from wav2uti.data.batch import collate
from wav2uti.data.clips import ClipDataset, choose_references, long_enough
from wav2uti.data.order import ClipIndex, ClipSampler, EveryClip, few_of
from wav2uti.data.pictures import Pictures, frame_statistics
from wav2uti.data.splits import Split, split_as_given, split_by_speaker, split_by_utterance
from wav2uti.errors import InputError
from wav2uti.options import check_counts
from wav2uti.tasks.batch import Batch


class ClipData(pl.LightningDataModule):
    """Clips of recorded or simulated speech with ultrasound tongue imaging, from shards.

    Training takes clips at random places, in an order of the seed and the epoch; validation and test take every
    recording in clips that do not overlap. Recordings shorter than a clip are left out, with one warning.

    Args:
        shards: folder of shards, or shards, made with `wav2uti simulate` or `wav2uti prepare`; or the address of
            either, such as s3://bucket/folder or https://host/shard.h5.
        clip_frames: frames in a clip, at 60 a second, or at the frame rate that `frame_step` makes of it.
        batch_size: clips in a batch of each process.
        acoustic: acoustic encoder whose embeddings are used; `auto` is the only one in the shards.
        text: the same for text; `none` for a model of sound alone.
        text_times: place the tokens of the text in time by the word times stored in the shards, where a recording has
            them; otherwise they are spread evenly over it.
        reference: `speaker` adds a frame of the speaker from outside the clip: the one stored with the recording,
            else the middle frame of the speaker's next recording, else (a speaker's only recording) the mean of the
            frames outside the clip. `none` is the paper's setting.
        reference_frames: 1 takes the middle frame of that next recording, more the mean of so many evenly over it.
        size: height and width of the frames for a stage of a cascade that draws smaller ones than the shards hold:
            they are averaged down. null takes them as they are.
        frame_step: takes every so many frames, for a stage of a cascade that draws fewer of them a second.
        acoustic_context: frames of sound before and after a clip that come with it.
        split: `speaker` tests on speakers that training has not seen (the paper's setting); `utterance` holds out a
            tenth of every speaker's recordings for validation and a tenth for the test; `corpus` is the split that
            the corpus states.
        test_speakers: names of the speakers held out for the test, or how many to draw (split by speaker only).
        val_speakers: the same for validation.
        num_workers: processes that read clips beside the main one.
        seed: of the split and of the places and order of the training clips.
    """

    def __init__(
        self,
        shards: str | list[str],
        clip_frames: int = 16,
        batch_size: int = 4,
        acoustic: str = "auto",
        text: str = "auto",
        reference: Literal["none", "speaker"] = "none",
        acoustic_context: int = 8,
        split: Literal["speaker", "utterance", "corpus"] = "speaker",
        test_speakers: int | list[str] = 1,
        val_speakers: int | list[str] = 1,
        num_workers: int = 0,
        seed: int = 0,
        text_times: bool = False,
        reference_frames: int = 1,
        size: int | None = None,
        frame_step: int = 1,
    ) -> None:
        super().__init__()
        if clip_frames < 1 or batch_size < 1 or acoustic_context < 0:
            raise InputError(
                f"clip_frames ({clip_frames}) and batch_size ({batch_size}) must be 1 or more, "
                f"acoustic_context ({acoustic_context}) 0 or more."
            )
        if reference_frames < 1:
            raise InputError(f"reference_frames must be 1 or more, not {reference_frames}.")
        speakers = {"test_speakers": test_speakers, "val_speakers": val_speakers}
        drawn = {name: count for name, count in speakers.items() if isinstance(count, int)}
        check_counts(0, num_workers=num_workers, seed=seed, **drawn)
        self.shards = shards
        self.clip_frames = clip_frames
        self.batch_size = batch_size
        self.acoustic = acoustic
        self.text = text
        self.reference = reference
        self.acoustic_context = acoustic_context
        self.split_by = split
        self.test_speakers = test_speakers
        self.val_speakers = val_speakers
        self.num_workers = num_workers
        self.seed = seed
        self.text_times = text_times
        self.reference_frames = reference_frames
        self.pictures = Pictures(size, frame_step)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What a model must know of its data, in plain JSON types; it goes into the model and its checkpoints.

        Keys: size (pixels), frame_step (1 for 60 frames a second), acoustic (name, spec, width, layers),
        text (name, spec, width; None where none is used), text_times (bool: tokens are placed by their times where
        these are known), reference (bool), frame_mean and frame_std (of the training frames on [-1, 1], measured on at
        most 1024 of them), simulated, mm_per_pixel (None where unknown or not one for all recordings), clip_frames,
        acoustic_context.
        """
        infos = self._infos
        stored = infos[0].size[0]
        mean, std = frame_statistics(self.split.train, self.pictures)
        scales = {self.pictures.mm_per_pixel(info.mm_per_pixel, stored) for info in infos}
        return {
            "size": self.pictures.size or stored,
            "frame_step": self.pictures.step,
            "acoustic": {"layers": 1, **self._encoder("acoustic", self.acoustic)},
            "text": self._text,
            "text_times": self._timed,
            "reference": self.reference == "speaker",
            "frame_mean": mean,
            "frame_std": std,
            "simulated": any(info.simulated for info in infos),
            "mm_per_pixel": scales.pop() if len(scales) == 1 else None,
            "clip_frames": self.clip_frames,
            "acoustic_context": self.acoustic_context,
        }

    @cached_property
    def split(self) -> Split:
        """Recordings that train, validate and test, those too short for a clip left out."""
        if self.split_by == "speaker":
            split = split_by_speaker(self._infos, self.test_speakers, self.val_speakers, self.seed)
        elif self.split_by == "utterance":
            split = split_by_utterance(self._infos, self.seed)
        else:
            split = split_as_given(self._infos)
        references = self._references
        kept = Split(*([i for i in part if long_enough(i, self.span, references)] for part in split))
        short = sum(map(len, split)) - sum(map(len, kept))
        if not kept.train:
            raise InputError(
                f"No training recording in {self._where} is as long as a clip ({self.span} frames); "
                "make clip_frames smaller."
            )
        if short:
            rank_zero_warn(f"{short} recording(s) shorter than a clip of {self.span} frames are left out.")
        return kept

    @property
    def span(self) -> int:
        """Recorded frames that a clip extends over."""
        return self.clip_frames * self.pictures.step

    def setup(self, stage: str) -> None:
        """Read what the shards hold and split it, so that a mistake is told before a model is trained."""
        _ = self.facts, self.split

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of this process. A training that goes on begins where the checkpoint was written."""
        if self.trainer is None:
            return self.whole_train_dataloader()
        trainer = self.trainer
        step = self.batch_size * trainer.accumulate_grad_batches
        clips = ClipSampler(self.split.train, self.span, self.seed, trainer.world_size, trainer.global_rank, step)
        if not len(clips):
            raise InputError(
                f"The training recordings give fewer clips than there are processes ({trainer.world_size}): train on "
                "fewer devices or on more recordings."
            )
        clips.place = partial(self._place, max(len(clips) // self.batch_size, 1))
        return self._train_loader(clips)

    def whole_train_dataloader(self) -> DataLoader[Any]:
        """Batches of one epoch for one process alone, to look at what there is to train on."""
        return self._train_loader(ClipSampler(self.split.train, self.span, self.seed))

    def _train_loader(self, clips: ClipSampler) -> DataLoader[Any]:
        # The last, smaller batch is dropped, except where it is the only one.
        return self._loader(self.split.train, clips, drop_last=len(clips) >= self.batch_size)

    def _place(self, batches: int) -> tuple[int, int]:
        """The epoch, of so many batches, that training is in, and how many of its clips this process has taken.

        It follows from the number of batches done, which a checkpoint brings back before the first one is asked for.
        """
        assert self.trainer is not None
        limit = self.trainer.limit_train_batches
        limited = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
        epoch, done = divmod(self.trainer.fit_loop.total_batch_idx + 1, max(limited, 1))
        return epoch, done * self.batch_size

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        recordings = self.split.val
        return self._loader(recordings, EveryClip(recordings, self.span)) if recordings else []

    def validation_clips(self, count: int) -> tuple[Batch, list[int]] | None:
        """A few clips of the validation, always the same, of as many of its speakers as possible; None without any.

        Returns:
            The clips with what scores ask, on the CPU, and of each its first frame in the recording. No random number
            is drawn: a training may look at them at any time.
        """
        recordings = self.split.val
        chosen = few_of(EveryClip(recordings, self.span).clips, recordings, count)
        if not chosen:
            return None
        clips = self._clips(recordings, known=True)
        return collate([clips[index] for index in chosen]), [start for _, start in chosen]

    def summary(self) -> dict[str, Any]:
        """How much there is to train on and to be tested on, for the dashboard of a run: plain JSON types."""
        parts = self.split._asdict().items()
        return {
            name: {
                "recordings": len(part),
                "clips": sum(info.frames // self.span for info in part),
                "minutes": round(sum(info.frames for info in part) / FPS / 60, 2),
                "speakers": sorted({info.speaker for info in part}),
            }
            for name, part in parts
        }

    def test_dataloader(self) -> DataLoader[Any]:
        recordings = self.split.test
        if not recordings:
            raise InputError(f"No recordings of {self._where} are held out for the test; set test_speakers.")
        return self._loader(recordings, EveryClip(recordings, self.span), known=True)

    def _loader(
        self,
        recordings: Sequence[RecordingInfo],
        sampler: Sampler[ClipIndex],
        drop_last: bool = False,
        known: bool = False,
    ) -> DataLoader[Any]:
        return DataLoader[Any](
            self._clips(recordings, known),
            batch_size=self.batch_size,
            sampler=sampler,
            collate_fn=collate,
            drop_last=drop_last,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def _clips(self, recordings: Sequence[RecordingInfo], known: bool) -> ClipDataset:
        text = self.facts["text"]
        return ClipDataset(
            recordings,
            self.clip_frames,
            self.facts["acoustic"]["name"],
            None if text is None else text["name"],
            self._references,
            self.acoustic_context,
            self.text_times,
            self.reference_frames,
            known,
            self.pictures,
        )

    @property
    def _where(self) -> str:
        return self.shards if isinstance(self.shards, str) else ", ".join(self.shards)

    @cached_property
    def _infos(self) -> list[RecordingInfo]:
        """All recordings, in the order of their shards; ids are unique and sizes equal."""
        infos: dict[str, RecordingInfo] = {}
        for shard in self._opened:
            for id in shard.ids:
                info = shard.info(id)
                if id in infos:
                    raise InputError(
                        f"Recording {id!r} is both in {infos[id].shard} and in {info.shard}; leave one shard out."
                    )
                infos[id] = info
        sizes = {info.size: info for info in infos.values()}
        if len(sizes) > 1:
            one, other = list(sizes.values())[:2]
            raise InputError(
                f"{one.shard} holds frames of {one.size} and {other.shard} of {other.size}; "
                "prepare all recordings with one size."
            )
        if (size := next(iter(sizes))) != size[::-1]:
            raise InputError(f"The frames of {self._where} are {size}, not square; prepare them again.")
        self.pictures.check(size[0], self._where)
        return list(infos.values())

    @cached_property
    def _opened(self) -> list[Shard]:
        return [Shard(path) for path in find_shards(self.shards)]

    @cached_property
    def _references(self) -> dict[str, RecordingInfo] | None:
        return choose_references(self._infos) if self.reference == "speaker" else None

    @property
    def _text(self) -> dict[str, Any] | None:
        nothing_stored = self.text == "auto" and not any(shard.encoders["text"] for shard in self._opened)
        return None if self.text == "none" or nothing_stored else self._encoder("text", self.text)

    @property
    def _timed(self) -> bool:
        """`text_times`, after a look whether any recording has times."""
        if not self.text_times:
            return False
        if self._text is None:
            raise InputError("text_times places the tokens of a text, and the data use none: set data.text as well.")
        name = self._text["name"]
        if not any(shard.text_times(id, name) is not None for shard in self._opened for id in shard.ids):
            raise InputError(
                f"text_times is set, but no recording in {self._where} has word times for the text encoder {name!r}: "
                "prepare the corpus with a TextGrid for each recording or with --transcriber, or leave text_times off."
            )
        return True

    def _encoder(self, kind: str, wanted: str) -> dict[str, Any]:
        """{"name", "spec", "width"} of the wanted encoder, which every shard must hold alike.

        Who transcribed, which a shard may say of its text, may differ from shard to shard: the first one is told.
        """
        stored = [(shard.path, shard.encoders[kind]) for shard in self._opened]
        transcribers: dict[str, dict[str, Any]] = {}
        for _, encoders in stored:
            for name, entry in encoders.items():
                if "transcriber" in entry:
                    transcribers.setdefault(name, {"transcriber": entry.pop("transcriber")})
        first_path, first = stored[0]
        names = ", ".join(first) or "none"
        if wanted == "auto":
            if len(first) != 1:
                raise InputError(
                    f"The shards of {self._where} hold these {kind} encoders: {names}; name one as data.{kind}."
                )
            wanted = next(iter(first))
        for path, encoders in stored:
            if wanted not in encoders:
                raise InputError(
                    f"{path} has no embeddings of the {kind} encoder {wanted!r}, only of: "
                    f"{', '.join(encoders) or 'none'}; add them with `wav2uti embed`, or change data.{kind}."
                )
            if encoders[wanted] != first[wanted]:
                raise InputError(
                    f"{first_path} and {path} were made with different settings of the {kind} encoder {wanted!r} "
                    f"({json.dumps(first[wanted])} and {json.dumps(encoders[wanted])}); prepare them alike."
                )
        return {"name": wanted, **first[wanted], **transcribers.get(wanted, {})}
