"""The command `wav2uti predict`: which speech is drawn, with which model, and what is told of it."""

import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

from rich.markup import escape
from rich.progress import Progress as ProgressBar

from wav2uti.diffusion.guidance import Guidance
from wav2uti.diffusion.sampler import Sampler
from wav2uti.errors import InputError
from wav2uti.names import file_name, printable
from wav2uti.pretrained import FOLDER, MODEL
from wav2uti.speech.transcribe import Transcriber
from wav2uti.video.archive import Format
from wav2uti.video.draw import Drawing, draw
from wav2uti.video.given import from_shards, from_sound
from wav2uti.video.predictor import Predictor, load
from wav2uti.video.reference_frame import default_reference, read_reference
from wav2uti.video.results import SPLINES, Speech
from wav2uti.video.sounds import Sound, find_sounds
from wav2uti.video.spread import SPREAD


class Undrawn(InputError):
    """Some of several sounds could not be drawn; the others were."""

    status = 1


def predict(
    audio: list[Path] | None = None,
    shards: Path | None = None,
    recording: str | None = None,
    text: str | None = None,
    textgrid: Path | None = None,
    reference: Path | None = None,
    ckpt_path: Path | None = None,
    output: Path = Path("predictions"),
    samples: int = 1,
    format: Format = "npz",
    sampler: Sampler | None = None,
    steps: int | None = None,
    guidance: Guidance | None = None,
    augmentation: float | None = None,
    transcriber: Transcriber | None = None,
    mm_per_pixel: float | None = None,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Draw the tongue for recordings of speech.

    Writes of each NAME.mp4 with the sound in it, the contact sheet NAME.png, NAME.npz or NAME.h5 (frames, contour and
    how they were made), NAME.csv, the tongue's contour as it is tracked in the generated frames (frame, time in s, x
    and y in pixels), NAME_splines.csv, the same in millimetres as AAA exports it, and NAME.TextGrid, where one lies
    beside the sound. With --samples N also NAME.spread.mp4: the mean of N drawings, and where they differ.
    The speech is sound files (--audio) or a recording of a corpus (--shards with --recording), whose text, words and
    reference frame are taken along; its own frames are shown above the generated ones and in NAME.truth.mp4.

    Args:
        audio: sound files of any rate, channel count and format that libsndfile reads; folders, which are searched
            below, too; and patterns in quotes, such as 'day1/**/*.wav'. Results of a folder's files lie in the same
            folders below the output. A file that cannot be drawn is told, and the others go on.
        shards: folder or file of shards that holds the recording.
        recording: id of a recording in the shards.
        text: what is said in a single sound file; by default what NAME.txt beside a sound says, else the words of its
            TextGrid, else what the model's transcriber writes down, if it has one.
        textgrid: TextGrid of a single sound file; by default NAME.TextGrid beside a sound. A model that was trained
            with the times of words takes them from it.
        reference: picture of one ultrasound frame of the speaker, as the model's training frames are cropped.
        ckpt_path: checkpoint of `wav2uti fit`, folder of `wav2uti export` or name of a model on the Hugging Face hub
            (owner/name), or those of a cascade's stages, first to last, with commas between them; without it the newest
            checkpoint under runs/, else the model that comes with wav2uti.
        output: folder for the results.
        samples: how often the same speech is drawn, with seeds from --seed on. Of several, NAME.csv, the file of frames
            and the contact sheet give mean and standard deviation as well: where the model is sure, and where not.
        format: of the file of frames, npz (numpy) or h5 (HDF5).
        sampler: how to draw, such as the paper's `--sampler StochasticHeun --sampler.steps 256`; by default DPMSolver
            with eta 1. Like steps and guidance it is that of every stage.
        steps: steps of the sampler; 32 by default.
        guidance: how to guide, such as `--guidance.scale 1` for not at all, which halves the time.
        augmentation: in a cascade, level of the noise (0 to 1) that later stages see the earlier clip through, 0.2 by
            default: more hides more of its mistakes and of its details.
        transcriber: writes down what is said where no text is given, such as `--transcriber Transcriber
            --transcriber.model openai/whisper-tiny`; by default the one that wrote the texts of the model's corpus.
        mm_per_pixel: size of a pixel of the generated frames, for NAME_splines.csv; by default that of the model's
            corpus, where it states one.
        seed: the same seed gives the same frames.
        device: cpu, cuda or auto.
    """
    if (audio is None) == (shards is None) or (shards is None) != (recording is None):
        raise InputError("Give the speech as --audio FILES, or as --shards FOLDER with --recording ID.")
    if shards is not None and not (reference is None and textgrid is None):
        option = "--reference" if reference is not None else "--textgrid"
        raise InputError(f"{option} goes with --audio; a recording of a corpus brings its own.")
    drawing = Drawing(sampler, steps, guidance, augmentation, seed, samples, format, mm_per_pixel)
    sounds = find_sounds(audio) if audio is not None else []
    if len(sounds) > 1 and not (text is None and textgrid is None):
        option, ending = ("--text", "txt") if text is not None else ("--textgrid", "TextGrid")
        raise InputError(
            f"{option} is of one sound file, and {len(sounds)} were named: put NAME.{ending} beside each NAME.wav."
        )
    model = load(newest_checkpoint() if ckpt_path is None else listed(ckpt_path), device)
    model.transcriber = transcriber or model.transcriber
    if shards is not None and recording is not None:
        _draw(model, from_shards(shards, recording), drawing, output)
        return
    frame = None if reference is None else read_reference(reference, model.facts["size"])
    failed = []
    for sound in sounds:
        try:
            folder = output / sound.folder
            _check_place(sound, folder, drawing.format, textgrid)
            speech = from_sound(sound.path, sound.name, text, textgrid, frame)
            _draw(model, speech, drawing, folder)
        except InputError as error:
            if len(sounds) == 1:
                raise
            print(f"wav2uti predict: {error}", file=sys.stderr)
            failed.append(sound.path)
    if failed:
        raise Undrawn(f"{len(failed)} of {len(sounds)} sounds could not be drawn: {_some(failed)}.")


def _check_place(sound: Sound, folder: Path, format: Format, textgrid: Path | None) -> None:
    """Raise an InputError where results would overwrite what lies beside a sound, such as splines of AAA's own."""
    if folder.resolve() != sound.path.parent.resolve():
        return
    # The sound's own TextGrid is copied onto itself.
    endings = [".mp4", ".png", f".{format}", ".csv", SPLINES, SPREAD, *([".TextGrid"] if textgrid else [])]
    for ending in endings:
        if (taken := folder / f"{file_name(sound.name)}{ending}").exists():
            raise InputError(f"{taken} lies beside its sound and would be overwritten: give another --output.")


def _draw(model: Predictor, speech: Speech, drawing: Drawing, output: Path) -> None:
    """Draw one recording with a progress bar, and tell what was written and what the model lacks."""
    if model.facts["reference"] and speech.reference is None and default_reference(model) is None:
        warnings.warn(
            "the model was trained with a reference frame of the speaker and got none: it draws some speaker's tongue, "
            "placed somewhere; give one with --reference.",
            stacklevel=2,
        )
    if model.textual is not None and not speech.text and model.transcriber is None:
        warnings.warn("the model was trained with text and got none; give it with --text.", stacklevel=2)
    with ProgressBar() as bar:
        line = bar.add_task(escape(f"drawing {printable(speech.name)}"), total=None)
        written = draw(
            model, speech, drawing, output, lambda done, total: bar.update(line, completed=done, total=total)
        )
    for kind, path in written.items():
        print(f"{kind}: {printable(str(path))}")


def _some(paths: Iterable[Path], most: int = 20) -> str:
    """Paths in a sentence."""
    names = [str(path) for path in paths]
    return ", ".join(names[:most]) + (f" and {len(names) - most} others" if len(names) > most else "")


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
