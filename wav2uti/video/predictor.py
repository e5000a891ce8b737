"""From speech to frames in Python: `load(checkpoint).generate(audio)`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wav2uti.clock import FPS, frames_in
from wav2uti.corpus.recording import Interval
from wav2uti.diffusion.cascade import checked_level
from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import Sampler
from wav2uti.errors import InputError
from wav2uti.grey import to_grey, to_unit
from wav2uti.pretrained import FOLDER, MODEL
from wav2uti.speech.acoustic import build_acoustic
from wav2uti.speech.textual import build_textual, check_text
from wav2uti.speech.timing import token_places, token_times
from wav2uti.speech.transcribe import build_transcriber
from wav2uti.tasks.base import Progress, Task
from wav2uti.tasks.diffusion import DiffusionTask
from wav2uti.tasks.located import located
from wav2uti.video.cascade import Meter, diffusions, from_checkpoints
from wav2uti.video.reference_frame import default_reference


class _Chosen(NamedTuple):
    """What a stage is to draw with."""

    stage: DiffusionTask
    sampler: Sampler
    guidance: Guidance
    augmentation: float


class Predictor:
    """A trained task together with the encoders that its checkpoint names.

    Args:
        task: as from `Task.from_checkpoint`.
        device: where encoders with weights run.
        name: what files made with it call it.
        folder: the exported folder that it was read from, if it was.
    """

    def __init__(self, task: Task, device: str = "cpu", name: str = "", folder: Path | None = None) -> None:
        self.task = task
        self.name = name
        self.folder = folder
        self.facts: dict[str, Any] = task.facts
        self.acoustic = build_acoustic(self.facts["acoustic"].get("spec"), device)
        about_text = self.facts["text"]
        self.textual = build_textual(about_text.get("spec"), device) if about_text else None
        wrote = about_text.get("transcriber") if about_text else None
        # What wrote the texts of the corpus writes those of new speech, too.
        self.transcriber = build_transcriber(wrote, device) if wrote else None

    def generate(
        self,
        audio: NDArray[np.float32],
        text: str | None = None,
        reference: NDArray[np.uint8] | None = None,
        sampler: Sampler | None = None,
        steps: int | None = None,
        guidance: Guidance | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        words: Sequence[Interval] = (),
        augmentation: float | None = None,
    ) -> NDArray[np.uint8]:
        """The tongue for one recording of speech; see `stream` for the arguments.

        Returns:
            uint8 (T, H, W) at 60 frames a second.
        """
        return np.concatenate(
            list(self.stream(audio, text, reference, sampler, steps, guidance, seed, progress, words, augmentation))
        )

    def stream(
        self,
        audio: NDArray[np.float32],
        text: str | None = None,
        reference: NDArray[np.uint8] | None = None,
        sampler: Sampler | None = None,
        steps: int | None = None,
        guidance: Guidance | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        words: Sequence[Interval] = (),
        augmentation: float | None = None,
    ) -> Iterator[NDArray[np.uint8]]:
        """The same in parts, as soon as they are drawn: the frames are never in memory as a whole.

        The sound is embedded, and what is wrong with the arguments told, before the first part is asked for.

        Args:
            audio: float32 (N,) at 16 kHz in [-1, 1], of any length.
            text: what is said. Where it is None the transcriber writes it down, if there is one; else a model that was
                trained with text does without.
            reference: uint8 (H, W), a frame of the speaker, for a model trained with one; None for the one that the
                model brings along, if it does.
            sampler: how to draw; None for the task's own.
            steps: steps of the sampler; None for its own.
            guidance: how to guide; None for the task's own.
            seed: the same seed gives the same frames on the same machine.
            progress: called with (done, total) after each step.
            words: words of the text with their times, for a model trained with them.
            augmentation: level of the noise, 0 to 1, that later stages of a cascade are given the earlier clip with;
                None for their own.

        Returns:
            uint8 (n, H, W) each, at 60 frames a second; T frames in all.
        """
        options = sampler, steps, guidance, [seed], progress, words, augmentation
        return self.streams(audio, text, reference, *options)[0]

    def streams(
        self,
        audio: NDArray[np.float32],
        text: str | None = None,
        reference: NDArray[np.uint8] | None = None,
        sampler: Sampler | None = None,
        steps: int | None = None,
        guidance: Guidance | None = None,
        seeds: Sequence[int] = (0,),
        progress: Progress | None = None,
        words: Sequence[Interval] = (),
        augmentation: float | None = None,
    ) -> list[Iterator[NDArray[np.uint8]]]:
        """Several drawings of the same speech, which is heard and read once; see `stream` for the arguments.

        Each is what `stream` gives with its seed, in parts of the same lengths: asked for by turns, none of them is
        ever in memory as a whole. `progress` counts all of them together.
        """
        frames = frames_in(len(audio))
        if frames == 0:
            raise InputError(f"{len(audio)} samples of sound are less than a frame of 1/60 s; give a longer recording.")
        chosen = self._chosen(sampler, steps, guidance, augmentation)
        tokens, places = self._read(audio, text, words)
        heard = self._hear(audio)
        reference = default_reference(self) if reference is None else reference
        shown = None if reference is None else to_unit(reference)
        meter = Meter(progress, [frames] * len(seeds))
        return [
            _drawn(
                self.task.stream(
                    heard,
                    tokens,
                    shown,
                    seed=seed,
                    progress=progress if progress is None or len(seeds) == 1 else meter.of(k),
                    text_places=places,
                ),
                chosen,
            )
            for k, seed in enumerate(seeds)
        ]

    def settings(
        self,
        sampler: Sampler | None = None,
        steps: int | None = None,
        guidance: Guidance | None = None,
        augmentation: float | None = None,
    ) -> dict[str, Any]:
        """How it draws with such arguments of `stream`, as plain JSON; of a cascade for each stage."""
        with _set(self._chosen(sampler, steps, guidance, augmentation)):
            return _without_seed(self.task.describe())

    def _chosen(
        self, sampler: Sampler | None, steps: int | None, guidance: Guidance | None, augmentation: float | None
    ) -> "list[_Chosen]":
        """What each stage draws with."""
        level = None if augmentation is None else checked_level(augmentation)
        chosen = []
        for stage in diffusions(self.task):
            own = sampler or stage.sampler
            own = own if steps is None else own.with_steps(steps)
            chosen.append(
                _Chosen(stage, own, guidance or stage.guidance, stage.augmentation if level is None else level)
            )
        return chosen

    def _hear(self, audio: NDArray[np.float32]) -> Tensor:
        """The sound's embeddings (T, D_a); no second copy of them is made on the way."""
        frames = frames_in(len(audio))
        embedding = torch.empty(frames, self.facts["acoustic"]["width"])
        done = 0
        for block in self.acoustic.encode_blocks(audio, frames):
            embedding[done : done + len(block)] = torch.from_numpy(block)
            done += len(block)
        return embedding

    def _read(
        self, audio: NDArray[np.float32], text: str | None, words: Sequence[Interval]
    ) -> tuple[Tensor | None, Tensor | None]:
        """The text's tokens (L, D_t), written down from the sound where need be, and their places (L,) in it."""
        if self.textual is None:
            return None, None
        if text is None and self.transcriber is not None:
            transcript = self.transcriber.transcribe(audio)
            text, words = transcript.text, words or transcript.words
        if not text:
            return None, None
        check_text(text)
        tokens = torch.from_numpy(self.textual.encode(text))
        times = None
        if words and self.facts.get("text_times"):
            times = token_times(text, self.textual.spans(text), words)
        seconds = frames_in(len(audio)) / FPS
        return tokens, torch.from_numpy(token_places(len(tokens), times, seconds))


def load(path: str | Path | Sequence[str | Path], device: str = "auto") -> Predictor:
    """The model of a checkpoint, or the cascade of several, ready to generate.

    Args:
        path: a .ckpt file that `wav2uti fit` wrote, a folder that `wav2uti export` wrote, or the name of a model (see
            `located`); or those of a cascade's stages, first to last.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.

    Raises:
        InputError: where there is no such checkpoint, its encoders cannot be had, or stages do not fit together.
    """
    given = [path] if isinstance(path, str | Path) else path
    paths = [located(name) for name in given]
    task = from_checkpoints(paths)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    folder = paths[-1] if paths[-1].is_dir() else None
    # The model in the box lies where Python keeps packages, which is nobody's business.
    names = [MODEL if path == FOLDER else str(name) for path, name in zip(paths, given, strict=True)]
    return Predictor(task.to(device), device, ", ".join(names), folder)


def _drawn(parts: Iterator[Tensor], chosen: list[_Chosen]) -> Iterator[NDArray[np.uint8]]:
    """Parts of a drawing as grey levels; what was chosen is the task's only while a part of it is drawn."""
    while True:
        with _set(chosen):
            part = next(parts, None)
        if part is None:
            return
        yield to_grey(part).cpu().numpy()


@contextmanager
def _set(chosen: list[_Chosen]) -> Iterator[None]:
    """Have stages draw with what was chosen while the block runs."""
    own = [_Chosen(stage, stage.sampler, stage.guidance, stage.augmentation) for stage, *_ in chosen]
    try:
        for stage, sampler, guidance, augmentation in chosen:
            stage.sampler, stage.guidance, stage.augmentation = sampler, guidance, augmentation
        yield
    finally:
        for stage, sampler, guidance, augmentation in own:
            stage.sampler, stage.guidance, stage.augmentation = sampler, guidance, augmentation


def _without_seed(described: dict[str, Any]) -> dict[str, Any]:
    """What a task says of itself without the seed that it is tested with."""
    kept = {name: value for name, value in described.items() if name != "seed"}
    if "stages" in kept:
        kept["stages"] = [_without_seed(stage) for stage in kept["stages"]]
    return kept
