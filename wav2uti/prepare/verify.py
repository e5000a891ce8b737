"""The command `wav2uti verify`: every byte of shards is read and compared with what was written."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from wav2uti.clock import seconds_at
from wav2uti.corpus.shards import READABLE, REMEDY, VERSION, Shard, find_shards
from wav2uti.corpus.shards.checks import Checked, Head, check_head, check_recordings
from wav2uti.errors import Damaged
from wav2uti.prepare.embed import EMBED
from wav2uti.prepare.executors import Executor, make_executor
from wav2uti.prepare.lock import PARTS

AT_ONCE = 16  # recordings in a task
LARGE = 2**26  # bytes that are worth a task of their own


def verify(shards: list[Path], workers: int | None = None) -> None:
    """Check everything in shards, and list every problem.

    Reads every recording whole: checksums and digests, types and shapes, texts and times, embeddings and the encoders
    that are announced for them, and what must hold over all shards. Prints a sentence for each problem; the exit status
    is 0 where there is none and 1 where there are some.

    Args:
        shards: shards, or folders of shards.
        workers: processes; by default one a core.
    """
    paths = [Shard(path).file for path in find_shards(shards)]
    tasks = max(len(paths), sum(path.stat().st_size for path in paths) // LARGE)
    found = _Found()
    with (
        Progress(
            TextColumn("Verifying"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("recordings"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        ) as progress,
        make_executor("local", workers, None, tasks) as executor,
    ):
        found.read(paths, executor, progress)
    problems = found.problems(paths)
    for line in chain(problems, _notes(paths, found.heads)):
        print(line)
    recordings = [checked for _, checked in found.recordings]
    frames = sum(checked.frames for checked in recordings)
    minutes = seconds_at(frames) / 60
    what = f"{len(paths)} shard{'s' * (len(paths) > 1)}, {len(recordings)} recordings, {minutes:.1f} min"
    if problems:
        count = f"{len(problems)} problem{'s' * (len(problems) > 1)}"
        raise Damaged(f"{count} in {what}: the lines above say where, and what to do.")
    print(f"{what}: all is as it was written.")


class _Found:
    """What the tasks have found."""

    def __init__(self) -> None:
        self.heads: dict[Path, Head] = {}
        self.recordings: list[tuple[Path, Checked]] = []
        self.failed: list[str] = []  # work that ended its process

    def read(self, paths: Sequence[Path], executor: Executor, progress: Progress) -> None:
        """Look at the head of each shard, then at its recordings."""
        bar = progress.add_task("", total=0)
        todo: dict[str, Path] = {}
        for path in paths:
            executor.submit(str(path), check_head, path)
        total = 0
        for outcome in executor.outcomes():
            if outcome.error is not None:
                self.failed.append(f"{outcome.error}")
            elif isinstance(outcome.value, Head):
                head = self.heads[outcome.value.path] = outcome.value
                for start in range(0, len(head.ids), AT_ONCE):
                    key = f"{head.path} (recordings from {head.ids[start]!r})"
                    todo[key] = head.path
                    executor.submit(key, check_recordings, head, head.ids[start : start + AT_ONCE])
                total += len(head.ids)
                progress.update(bar, total=total)
            else:
                path = todo.pop(outcome.key)
                self.recordings += [(path, checked) for checked in outcome.value]
                progress.advance(bar, len(outcome.value))

    def problems(self, paths: Sequence[Path]) -> list[str]:
        """All of them, in the order of the shards and of the recordings' names."""
        self.recordings.sort(key=lambda found: (paths.index(found[0]), found[1].id))
        problems = list(self.failed)
        for path in paths:
            if path not in self.heads:
                continue
            problems += self.heads[path].problems
            within = [checked for where, checked in self.recordings if where == path]
            problems += chain.from_iterable(checked.problems for checked in within)
            said, held = self.heads[path].simulated, any(checked.simulated for checked in within)
            if within and said != held:
                problems.append(
                    f"{path}: it says that {'some' if said else 'none'} of its recordings are simulated, and "
                    f"{'none is' if said else 'some are'}; {REMEDY}."
                )
        return problems + self._across()

    def _across(self) -> list[str]:
        """What must hold over all shards."""
        problems = []
        first: dict[str, Path] = {}
        for path, checked in self.recordings:
            if checked.id in first:
                problems.append(
                    f"Recording {checked.id!r} is both in {first[checked.id]} and in {path}: leave one shard out."
                )
            first.setdefault(checked.id, path)
        sizes = Counter(checked.size for _, checked in self.recordings if checked.size)
        usual = sizes.most_common(1)[0][0] if sizes else ()
        for path, checked in self.recordings:
            if checked.size not in ((), usual):
                problems.append(
                    f"{path}: recording {checked.id!r}: its frames are {checked.size} and most are {usual}; "
                    "prepare all recordings with one size."
                )
        return problems + self._encoders()

    def _encoders(self) -> list[str]:
        problems = []
        known: dict[tuple[str, str], tuple[Path, object]] = {}
        for path, head in self.heads.items():
            for kind, encoders in head.encoders.items():
                for name, about in encoders.items():
                    entry = {key: value for key, value in about.items() if key != "transcriber"}
                    other, before = known.setdefault((kind, name), (path, entry))
                    if before != entry:
                        problems.append(
                            f"{other} and {path} were made with different settings of the {kind} encoder {name!r}: "
                            "prepare them alike."
                        )
        return problems


def _notes(paths: Sequence[Path], heads: dict[Path, Head]) -> list[str]:
    """What is no fault, and good to know."""
    notes = []
    for folder in sorted({path.parent for path in paths}):
        left = [*folder.glob(".*.part"), *(folder / name for name in (PARTS, EMBED) if (folder / name).is_dir())]
        notes += [
            f"Note: {path} was left by a command that was stopped, or is written now: the same command goes on, or "
            "remove it."
            for path in sorted(left)
        ]
    old = [str(path) for path, head in heads.items() if head.version in READABLE and head.version < VERSION]
    if old:
        more = f" and {len(old) - 1} more" if len(old) > 1 else ""
        notes.append(
            f"Note: {old[0]}{more}: an earlier schema version, in which a changed letter of a text or a name cannot be "
            "found; preparing the corpus again, or embedding it with another encoder, writes the present one."
        )
    return notes
