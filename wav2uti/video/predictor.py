"""From speech to frames in Python: `load(checkpoint).generate(audio)`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
from wav2uti.speech.acoustic import build_acoustic
from wav2uti.speech.textual import build_textual, check_text
from wav2uti.speech.timing import token_places, token_times
from wav2uti.speech.transcribe import build_transcriber
from wav2uti.tasks.base import Progress, Task
from wav2uti.video.cascade import diffusions, from_checkpoints


class Predictor:
    """A trained task together with the encoders that its checkpoint names.

    Args:
        task: as from `Task.from_checkpoint`.
        device: where encoders with weights run.
    """

    def __init__(self, task: Task, device: str = "cpu") -> None:
        self.task = task
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
            reference: uint8 (H, W), a frame of the speaker, for a model trained with one.
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
        frames = frames_in(len(audio))
        if frames == 0:
            raise InputError(f"{len(audio)} samples of sound are less than a frame of 1/60 s; give a longer recording.")
        for stage in diffusions(self.task):
            stage.sampler = sampler or stage.sampler
            if steps is not None:
                stage.sampler = stage.sampler.with_steps(steps)
            stage.guidance = guidance or stage.guidance
            if augmentation is not None:
                stage.augmentation = checked_level(augmentation)
        tokens, places = self._read(audio, text, words)
        parts = self.task.stream(
            self._hear(audio),
            tokens,
            None if reference is None else to_unit(reference),
            seed=seed,
            progress=progress,
            text_places=places,
        )
        return (to_grey(part).cpu().numpy() for part in parts)

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
        path: a .ckpt file that `wav2uti fit` wrote, or a folder that `wav2uti export` wrote; or those of a cascade's
            stages, first to last.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.

    Raises:
        InputError: where there is no such checkpoint, its encoders cannot be had, or stages do not fit together.
    """
    given = [path] if isinstance(path, str | Path) else path
    task = from_checkpoints([Path(name) for name in given])  # where a name is turned to a path
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Predictor(task.to(device), device)
