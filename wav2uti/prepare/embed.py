"""The command `embed`: embeddings of more encoders, into shards that are there.

    FOLDER/.embed/SHARD/    what is embedded and not in its shard yet, a part for each recording; empty when all is done

A shard is replaced by a new file only when that is whole. Whatever ends the command, the same command goes on.
"""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from wav2uti.clock import FPS
from wav2uti.corpus.shards import RecordingInfo, Shard, find_shards
from wav2uti.errors import InputError
from wav2uti.prepare.addition import Addition, Encoders
from wav2uti.prepare.lock import locked
from wav2uti.speech.acoustic import AcousticEncoder
from wav2uti.speech.textual import TextEncoder
from wav2uti.speech.transcribe import Transcriber

EMBED = ".embed"
LONG = 30 * FPS  # frames; a longer recording is embedded alone, in blocks


def embed(
    shards: Path,
    acoustic: AcousticEncoder | None = None,
    text: TextEncoder | None = None,
    transcriber: Transcriber | None = None,
    batch: int = 8,
    device: str = "cpu",
    replace: bool = False,
) -> None:
    """Add embeddings to shards, beside those that are in them.

    Encoders that the shards hold already are passed over, so that a stopped command goes on when it is run again. A
    model chooses among them by name: data.acoustic and data.text.

    Args:
        shards: folder of shards, or one shard.
        acoustic: encoder of the sound.
        text: encoder of the text; where the words of a recording have times, its tokens get them.
        transcriber: finds out what was said where a recording has no text, which is then stored with it.
        batch: recordings embedded at a time.
        device: where the models run: cpu or cuda.
        replace: put the embeddings in the place of others that have the same name.
    """
    wanted = Encoders(acoustic, text, transcriber)
    if acoustic is None and text is None:
        raise InputError("There is nothing to add: give an encoder with --acoustic, --text or both.")
    if transcriber is not None and text is None:
        raise InputError("A transcript is stored with its embeddings: add an encoder of the text with --text.")
    if batch < 1:
        raise InputError(f"{batch} recordings cannot be embedded at a time: give --batch of 1 or more.")
    if device != "cpu":
        _try_device(device)
        for model in (acoustic, text, transcriber):
            if model is not None:
                model.device = device
    paths = [path.resolve() for path in find_shards(shards)]
    with ExitStack() as locks:
        for folder in sorted({path.parent for path in paths}):
            locks.enter_context(locked(folder))
        opened = [Shard(path) for path in paths]
        todo = [
            Addition(shard, missing, _folder(shard.file))
            for shard, missing in [(shard, wanted.missing(shard, replace)) for shard in opened]
            if missing.acoustic or missing.text
        ]
        try:
            if todo:
                _run(todo, batch)
        finally:
            _tidy(paths, [addition.shard.file for addition in todo])
    names = " and ".join(encoder.name for encoder in (acoustic, text) if encoder is not None)
    if todo:
        infos = [info for addition in todo for info in addition.infos]
        minutes = sum(info.frames for info in infos) / FPS / 60
        print(f"{shards}: {len(infos)} recordings ({minutes:.1f} min) embedded with {names}.")
    else:
        print(f"{shards} already holds the embeddings of {names}.")


def by_length(frames: Sequence[int], size: int) -> list[list[int]]:
    """Places of recordings in batches: those of like length together, the longest first, a long one alone."""
    order = sorted(range(len(frames)), key=lambda place: -frames[place])
    long = [[place] for place in order if frames[place] > LONG]
    rest = order[len(long) :]
    return long + [rest[start : start + size] for start in range(0, len(rest), size)]


def _try_device(device: str) -> None:
    """Raises InputError where torch cannot use the device."""
    import torch  # seconds to import: here, not at the head

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise InputError(f"Models cannot run on the device {device!r} here ({reason}): give --device cpu.") from error


def _run(additions: Sequence[Addition], batch: int) -> None:
    """Embed what is not embedded yet, and write each shard when all its recordings are."""
    console = Console(stderr=True)
    columns = (
        TextColumn("Embedding"),
        BarColumn(),
        TextColumn("{task.fields[done]}/{task.fields[recordings]} recordings"),
        TextColumn("{task.completed:.1f}/{task.total:.1f} min"),
        TimeRemainingColumn(),
    )
    infos = [info for addition in additions for info in addition.infos]
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=_minutes(infos), done=0, recordings=len(infos))
        try:
            for addition in additions:
                kept = addition.find_parts()
                _advance(progress, bar, kept)
                ids = {info.id for info in kept}
                todo = [info for info in addition.infos if info.id not in ids]
                for places in by_length([info.frames for info in todo], batch):
                    chosen = [todo[place] for place in places]
                    addition.embed(chosen)
                    _advance(progress, bar, chosen)
                addition.write()
                shutil.rmtree(addition.folder, ignore_errors=True)
        except KeyboardInterrupt:
            done = progress.tasks[bar].fields["done"]
            console.print(f"Stopped: {done} recordings embedded so far are kept; the same command goes on.")
            raise


def _advance(progress: Progress, bar: TaskID, infos: Sequence[RecordingInfo]) -> None:
    done = progress.tasks[bar].fields["done"] + len(infos)
    progress.update(bar, advance=_minutes(infos), done=done)


def _minutes(infos: Sequence[RecordingInfo]) -> float:
    return sum(info.frames for info in infos) / FPS / 60


def _tidy(paths: Sequence[Path], unfinished: Sequence[Path]) -> None:
    """Remove what a killed command left of shards that are whole."""
    for path in paths:
        folder = _folder(path)
        if path not in unfinished:
            shutil.rmtree(folder, ignore_errors=True)
        if folder.parent.is_dir() and not any(folder.parent.iterdir()):
            folder.parent.rmdir()


def _folder(path: Path) -> Path:
    """Where the parts of a shard go."""
    return path.parent / EMBED / path.name
