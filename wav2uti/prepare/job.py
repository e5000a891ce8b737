"""The coordinator: which recordings are there already, which are to be made, and which shards they go into.

    OUT/shard-00000.h5 ...   whole shards, in the order of the recordings' names
    OUT/.parts/              recordings that are made and in no shard yet; empty when all is done

One task makes the part of one recording, one task writes one shard from its parts. Whatever ends the command, the
same command goes on: a recording is in a shard, is a whole part, or is made anew.
"""

import shutil
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from wav2uti.clock import SAMPLE_RATE, frames_in, seconds_at
from wav2uti.corpus.quality import corpus_warnings
from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.corpus.shards.writer import MAX_BYTES, ShardWriter, describe_encoders, shard_paths
from wav2uti.errors import InputError, OutOfSpace
from wav2uti.prepare.executors import Executor, Outcome
from wav2uti.prepare.lock import PARTS, locked
from wav2uti.prepare.make import Recipe, Work, make_part
from wav2uti.prepare.part import Report, part_name, read_part


@dataclass(frozen=True)
class _Stored:
    """What the checks of a whole corpus need of a recording that is in a shard."""

    id: str
    speaker: str
    split: str
    sound_digest: str


@dataclass
class Job:
    """Recordings into the shards of one folder.

    Attributes:
        out: the folder.
        settings: command and options; a folder holds the work of one command with one recipe.
        recipe: size and encoders.
    """

    out: Path
    settings: dict[str, Any]
    recipe: Recipe
    _stored: dict[str, _Stored] = field(init=False, default_factory=dict)
    _reports: dict[str, Report | None] = field(init=False, default_factory=dict)  # None: left out
    _console: Console = field(init=False, default_factory=lambda: Console(stderr=True))

    def run(self, works: Sequence[Work], executor: Executor, title: str) -> None:
        """Make the recordings that are not there yet and print a summary.

        Raises:
            InputError: the folder holds other work or is being written, an encoder cannot be had, the disk is full, or
                none of the recordings could be read.
        """
        self._check_settings()
        with locked(self.out):
            before = self._find_stored(works)
            todo = [work for work in works if work.id not in self._stored]
            if todo:
                self._try_encoders()
                self._find_parts(todo)
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            with Progress(*columns, console=self._console) as progress:
                bar = progress.add_task(title, total=len(works), completed=len(works) - len(todo))
                try:
                    for _ in self._made(todo, executor):
                        progress.advance(bar)
                except KeyboardInterrupt:
                    made = sum(report is not None for report in self._reports.values())
                    self._say(f"Stopped: {made} recordings made so far are kept; the same command goes on.")
                    raise
            shutil.rmtree(self.out / PARTS, ignore_errors=True)
        self._sum_up(before, len(works))

    def is_complete(self, works: Sequence[Work]) -> bool:
        """Whether the folder holds all of these recordings."""
        self._check_settings()
        held = {id for path in _shards(self.out) for id in Shard(path).ids}
        return all(work.id in held for work in works)

    def _made(self, todo: Sequence[Work], executor: Executor) -> Iterator[str]:
        """Make parts and shards; gives the id of each recording that is made or left out."""
        batches, paths = _Batches([work.id for work in todo]), shard_paths(self.out)
        shards: dict[str, list[str]] = {}

        def write_full(done: str) -> None:
            report = self._reports[done]
            for ids in batches.finish(done, report.bytes if report else None):
                path = next(paths)
                shards[str(path)] = ids
                executor.submit(str(path), write_shard, path, [self._part(id) for id in ids], *self._about_shards)

        with executor:
            for work in todo:
                if work.id not in self._reports:
                    executor.submit(work.id, make_part, work, self.recipe, self.out / PARTS)
            for id in list(self._reports):
                yield id
                write_full(id)
            for outcome in executor.outcomes():
                if isinstance(outcome.error, OutOfSpace) or (outcome.error and outcome.key in shards):
                    raise outcome.error
                if outcome.key in shards:
                    for id in shards.pop(outcome.key):
                        shutil.rmtree(self._part(id), ignore_errors=True)
                    continue
                self._note(outcome)
                yield outcome.key
                write_full(outcome.key)

    def _note(self, outcome: Outcome) -> None:
        """Keep the report of a recording, and tell the user what is wrong with it."""
        report: Report | None = outcome.value
        self._reports[outcome.key] = report
        if report is None:
            self._say(f"Left out {outcome.key}: {outcome.error}")
        for warning in report.warnings if report else ():
            self._say(f"{outcome.key}: {warning}")

    def _part(self, id: str) -> Path:
        return self.out / PARTS / part_name(id)

    def _check_settings(self) -> None:
        """Refuse a folder whose shards were made otherwise."""
        for path in _shards(self.out):
            shard = Shard(path)
            encoders, settings = self._about_shards
            wanted = settings | encoders
            for name, value in (shard.settings | shard.encoders).items():
                # `wav2uti embed` may have added other encoders.
                given = wanted.get(name)
                held = {key: value.get(key) for key in given} if name in encoders and given else value
                if given != held:
                    raise InputError(
                        f"{path} was made with {_said(name, value)}, this command has "
                        f"{_said(name, wanted.get(name))}; give the same options, or another folder."
                    )

    @cached_property
    def _about_shards(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What every shard says of its encoders and settings."""
        wrote = self.recipe.transcriber.spec() if self.recipe.transcriber else None
        return describe_encoders([self.recipe.acoustic], [self.recipe.text], wrote), self.settings

    def _try_encoders(self) -> None:
        """An encoder that cannot be loaded ends the command here; later it would leave out every recording."""
        sound = np.sin(np.arange(SAMPLE_RATE, dtype=np.float32) / 10)
        self.recipe.acoustic.encode(sound, frames_in(SAMPLE_RATE))
        self.recipe.text.encode("a")
        if self.recipe.transcriber is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # nobody speaks in a tone
                self.recipe.transcriber.transcribe(sound)

    def _find_stored(self, works: Sequence[Work]) -> int:
        """Note what the shards hold; recordings whose files have changed are taken out. Returns how many are left."""
        wanted = {work.id: work for work in works}
        for path in _shards(self.out):
            shard = Shard(path)
            stale = []
            for id in shard.ids:
                if id in wanted and not wanted[id].is_made_from(shard.origin(id)):
                    stale.append(id)
                    self._say(f"{id} is made anew: its files or options have changed.")
                    continue
                info = shard.info(id)
                digest = str(shard.quality(id).get("sound_digest", ""))
                self._stored[id] = _Stored(id, info.speaker, info.split, digest)
            shard.close()
            if stale:
                _take_out(path, stale)
        return sum(id in self._stored for id in wanted)

    def _find_parts(self, todo: Sequence[Work]) -> None:
        """Keep the parts of an earlier run that fit, remove all else."""
        names = {part_name(work.id): work for work in todo}
        folder = self.out / PARTS
        for path in folder.iterdir():
            if path.is_dir():
                work, part = names.get(path.name), read_part(path)
                fits = part is not None and part.recipe == self.recipe.as_json()
                if work is not None and part is not None and fits and work.is_made_from(part.origin):
                    self._reports[work.id] = part.report
                else:
                    shutil.rmtree(path)

    def _sum_up(self, before: int, total: int) -> None:
        """Warn of what concerns the corpus as a whole, and print what was done."""
        written = [report for report in self._reports.values() if report is not None]
        left_out = len(self._reports) - len(written)
        for warning in corpus_warnings([*self._stored.values(), *written]):
            self._say(f"Warning: {warning}.")
        if not written and not before:
            raise InputError(f"None of the {total} recordings could be read; the lines above say why.")
        frames = sum(report.frames for report in written)
        print(
            f"{self.out}: {len(written)} recordings written ({frames} frames, {seconds_at(frames):.1f} s, "
            f"{len({report.speaker for report in written})} speakers), {before} there before, {left_out} left out."
        )

    def _say(self, line: str) -> None:
        """Print above the progress bar, without markup: names of files hold brackets."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Batches:
    """Sorts recordings that finish in any order into shards, in the order of their names."""

    def __init__(self, order: Sequence[str]) -> None:
        self._order = deque(order)
        self._finished: dict[str, int | None] = {}
        self._batch: list[str] = []
        self._bytes = 0

    def finish(self, id: str, size: int | None) -> list[list[str]]:
        """Take note of a finished recording (None: left out); gives the ids of the shards that are full by it."""
        self._finished[id] = size
        full = []
        while self._order and self._order[0] in self._finished:
            next_id = self._order.popleft()
            next_size = self._finished.pop(next_id)
            if next_size is not None:
                self._batch.append(next_id)
                self._bytes += next_size
            if self._batch and (self._bytes >= MAX_BYTES or not self._order):
                full.append(self._batch)
                self._batch, self._bytes = [], 0
        return full


def write_shard(path: Path, parts: Sequence[Path], encoders: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Write one shard from parts that are whole.

    Raises:
        InputError: a part is gone.
        OutOfSpace: the shard cannot be written.
    """
    with ShardWriter(path, encoders, settings) as writer:
        for folder in parts:
            part = read_part(folder)
            if part is None:
                raise InputError(f"{folder} is no whole part any more: run the same command again.")
            writer.add_arrays(part.report.id, part.attributes, part.arrays)


def _take_out(path: Path, ids: Sequence[str]) -> None:
    """Write a shard anew without some recordings; remove it where none is left."""
    shard = Shard(path)
    kept = [id for id in shard.ids if id not in ids]
    if not kept:
        shard.close()
        path.unlink()
        return
    # Not under the shard's own name: after an exception the writer would put a shorter one in its place.
    whole = path.parent / PARTS / path.name
    with ShardWriter(whole, shard.encoders, shard.settings) as writer:
        for id in kept:
            writer.copy(path, id)
        shard.close()
    whole.replace(path)


def _shards(out: Path) -> list[Path]:
    return find_shards(out) if out.is_dir() and any(out.glob("*.h5")) else []


def _said(name: str, value: Any) -> str:
    """A setting or a kind of encoder in words."""
    names = ", ".join(value) if isinstance(value, dict) else value
    return f"the {name} encoder {names}" if name in ("acoustic", "text") else f"{name} {names}"
