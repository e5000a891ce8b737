"""The command `wav2uti predict`: which speech is drawn, with which model."""

import warnings
from pathlib import Path

from rich.markup import escape
from rich.progress import Progress as ProgressBar

from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import Sampler
from wav2uti.errors import InputError
from wav2uti.names import printable
from wav2uti.pretrained import FOLDER, MODEL
from wav2uti.speech.audio import read_speech
from wav2uti.speech.transcribe import Transcriber
from wav2uti.video.draw import Drawing, draw
from wav2uti.video.predictor import load
from wav2uti.video.reference_frame import read_reference
from wav2uti.video.results import Speech


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
    drawing = Drawing(sampler, steps, guidance, augmentation, seed)
    with ProgressBar() as bar:
        line = bar.add_task(escape(f"drawing {printable(speech.name)}"), total=None)
        written = draw(
            model, speech, drawing, output, lambda done, total: bar.update(line, completed=done, total=total)
        )
    for kind, path in written.items():
        print(f"{kind}: {printable(str(path))}")


def listed(path: Path) -> list[Path]:
    """The checkpoints that are listed with commas between them; a file or folder with commas in its name is one.

    >>> [path.name for path in listed(Path("runs/base.ckpt,runs/later.ckpt"))]
    ['base.ckpt', 'later.ckpt']
    """
    return [path] if path.exists() else [Path(part.strip()) for part in str(path).split(",") if part.strip()]


def newest_checkpoint(runs: Path = Path("runs")) -> Path:
    """The checkpoint last written under `runs`; where there is none, the model in the box."""
    found = sorted(runs.rglob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        print(f"model: {MODEL}, which comes with wav2uti (SIMULATED); there is no checkpoint under {runs}/")
        return FOLDER
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
