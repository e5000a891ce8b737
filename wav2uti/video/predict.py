"""From speech to video: `load(checkpoint).generate(audio)`, and the command `wav2uti predict` around it."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.markup import escape
from rich.progress import Progress as ProgressBar
from torch import Tensor

from wav2uti.clock import FPS, frames_in
from wav2uti.corpus.recording import Interval
from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.diffusion.cascade import checked_level
from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import Sampler
from wav2uti.errors import InputError
from wav2uti.grey import to_grey, to_unit
from wav2uti.names import printable
from wav2uti.speech.acoustic import build_acoustic
from wav2uti.speech.audio import read_speech
from wav2uti.speech.textual import build_textual, check_text
from wav2uti.speech.timing import token_places, token_times
from wav2uti.speech.transcribe import Transcriber, build_transcriber
from wav2uti.tasks.base import Progress, Task
from wav2uti.video.cascade import diffusions, from_checkpoints
from wav2uti.video.reference_frame import read_reference
from wav2uti.video.results import Speech, write_results


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
    task = from_checkpoints([path] if isinstance(path, str | Path) else path)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Predictor(task.to(device), device)


def predict(
    audio: Path | None = None,
    shards: Path | None = None,
    recording: str | None = None,
    text: str | None = None,
    reference: Path | None = None,
    ckpt_path: Path | None = None,
    output: Path = Path("predictions"),
    sampler: Sampler | None = None,
    steps: int | None = None,
    guidance: Guidance | None = None,
    augmentation: float | None = None,
    transcriber: Transcriber | None = None,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Draw the tongue for a recording of speech.

    Writes NAME.mp4 with the sound in it, the contact sheet NAME.png, NAME.npz (frames uint8 (T, H, W), fps), and
    NAME.csv, the tongue's contour as it is tracked in the generated frames (frame, time in s, x and y in pixels).
    The speech is a sound file (--audio) or a recording of a corpus (--shards with --recording), whose text and
    reference frame are taken along; its own frames are shown above the generated ones and in NAME.truth.mp4.

    Args:
        audio: sound file of any rate, channel count and format that libsndfile reads.
        shards: folder or file of shards that holds the recording.
        recording: id of a recording in the shards.
        text: what is said in the sound file; without it the model's transcriber writes it down, if it has one.
        reference: picture of one ultrasound frame of the speaker, as the model's training frames are cropped.
        ckpt_path: checkpoint of `wav2uti fit` or folder of `wav2uti export`, or those of a cascade's stages, first to
            last, with commas between them; without it the newest checkpoint under runs/.
        output: folder for the results.
        sampler: how to draw, such as the paper's `--sampler StochasticHeun --sampler.steps 256`; by default DPMSolver
            with eta 1. Like steps and guidance it is that of every stage.
        steps: steps of the sampler; 32 by default.
        guidance: how to guide, such as `--guidance.scale 1` for not at all, which halves the time.
        augmentation: in a cascade, level of the noise (0 to 1) that later stages see the earlier clip through, 0.2 by
            default: more hides more of its mistakes and of its details.
        transcriber: writes down what is said where no text is given, such as `--transcriber Transcriber
            --transcriber.model openai/whisper-tiny`; by default the one that wrote the texts of the model's corpus.
        seed: the same seed gives the same frames.
        device: cpu, cuda or auto.
    """
    model = load(newest_checkpoint() if ckpt_path is None else listed(ckpt_path), device)
    if audio is not None and shards is None and recording is None:
        given = None if reference is None else read_reference(reference, model.facts["size"])
        speech = Speech(audio.stem, read_speech(audio), text, given)
    elif audio is None and shards is not None and recording is not None:
        speech = _from_shards(shards, recording)
        if reference is not None:
            raise InputError("--reference goes with --audio; a recording of a corpus brings its own reference frame.")
    else:
        raise InputError("Give the speech as --audio FILE, or as --shards FOLDER with --recording ID.")
    if model.facts["reference"] and speech.reference is None:
        warnings.warn(
            "the model was trained with a reference frame of the speaker and got none: it draws some speaker's tongue, "
            "placed somewhere; give one with --reference.",
            stacklevel=2,
        )
    model.transcriber = transcriber or model.transcriber
    if model.textual is not None and not speech.text and model.transcriber is None:
        warnings.warn("the model was trained with text and got none; give it with --text.", stacklevel=2)
    note = "made by a model trained on SIMULATED data" if model.facts["simulated"] else "generated"
    with ProgressBar() as bar:
        line = bar.add_task(escape(f"drawing {printable(speech.name)}"), total=None)
        parts = model.stream(
            speech.audio,
            speech.text,
            speech.reference,
            sampler,
            steps,
            guidance,
            seed,
            progress=lambda done, total: bar.update(line, completed=done, total=total),
            words=speech.words,
            augmentation=augmentation,
        )
        written = write_results(output, speech, parts, note)
    for kind, path in written.items():
        print(f"{kind}: {printable(str(path))}")


def listed(path: Path) -> list[Path]:
    """The checkpoints that are listed with commas between them; a file or folder with commas in its name is one.

    >>> [path.name for path in listed(Path("runs/base.ckpt,runs/later.ckpt"))]
    ['base.ckpt', 'later.ckpt']
    """
    return [path] if path.exists() else [Path(part.strip()) for part in str(path).split(",") if part.strip()]


def newest_checkpoint(runs: Path = Path("runs")) -> Path:
    """The checkpoint last written under `runs`."""
    found = sorted(runs.rglob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError(
            f"There is no checkpoint under {runs}/; train one with `wav2uti fit --config configs/simulated.yaml`, "
            "or give one with --ckpt_path."
        )
    print(f"checkpoint: {printable(str(found[-1]))}")
    return found[-1]


def _from_shards(shards: Path, recording: str) -> Speech:
    """A recording of a corpus, with its text, reference frame and real frames."""
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
            )
    raise InputError(f"There is no recording {recording!r} in the shards of {shards}.")
