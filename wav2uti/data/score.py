"""The command `wav2uti score`: scores shards of generated recordings against the real ones."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from wav2uti.corpus.shards import RecordingInfo, Shard, find_shards
from wav2uti.data.order import EveryClip
from wav2uti.errors import InputError
from wav2uti.metrics.evaluation import ClipPlace, Evaluation
from wav2uti.metrics.results import write_results
from wav2uti.metrics.scorers import find_scorers

Place = tuple[Shard, RecordingInfo]


def score(
    generated: Path,
    real: Path,
    speakers: str | None = None,
    clip_frames: int = 16,
    clips: int | None = None,
    i3d: Path | None = None,
    output: Path = Path("metrics.json"),
    uint8_wrapped: bool = False,
    lpips: str = "squeeze",
    fid: bool = True,
    keep: int = 8,
) -> None:
    """Score recordings of any origin against the real ones, clip by clip as `wav2uti test` does.

    Both folders hold shards with the same recordings: the same ids, size and number of frames. Speakers, exact contours
    and the size of a pixel are taken from the real ones. Writes metrics.json and, beside it, samples.npz.

    Args:
        generated: folder of shards, or a shard, with what a system made (`wav2uti prepare` makes shards of videos).
        real: the same with what it should be.
        speakers: score only these speakers' recordings, with commas between their names.
        clip_frames: frames in a clip; clips do not overlap, and a last, shorter one is left.
        clips: score only so many, from all recordings: the first ones in the order of `wav2uti test`; by default all.
        i3d: weights of the network for FVD.
        output: file to write.
        uint8_wrapped: also give RMSE and PSNR as the published script has them, wrapped modulo 256.
        lpips: networks for LPIPS with commas between: squeeze, alex, vgg; empty for none.
        fid: give FID and KID.
        keep: clips in samples.npz; 0 writes none.
    """
    if clip_frames < 1:
        raise InputError(f"A clip cannot have {clip_frames} frames; give --clip_frames of 1 or more.")
    if clips is not None and clips < 1:
        raise InputError(f"{clips} clips are none to score; give --clips of 1 or more.")
    if output.is_dir():
        raise InputError(f"The scores cannot be written to {output}, which is a folder: give a file name in it.")
    networks = _names(lpips)
    if unknown := set(networks) - {"squeeze", "alex", "vgg"}:
        raise InputError(f"LPIPS has no network {min(unknown)!r}; give some of squeeze, alex and vgg.")
    pairs = _pairs(generated, real, None if speakers is None else _names(speakers))
    infos = [info for _, (_, info) in pairs]
    chosen = EveryClip(infos, clip_frames).clips[:clips]
    if not chosen:
        raise InputError(
            f"No recording in {real} is as long as a clip ({clip_frames} frames); make clip_frames smaller."
        )
    evaluation = Evaluation(find_scorers(uint8_wrapped, networks, fid, fid, i3d=i3d), keep)
    for k, start in track(chosen, "scoring", transient=True, console=Console(stderr=True)):
        (made, _), (shard, info) = pairs[k]
        stop = start + clip_frames
        evaluation.add(
            ClipPlace(info.id, (start + 0.5) / info.frames),
            info.speaker,
            made.frames(info.id, start, stop),
            shard.frames(info.id, start, stop),
            shard.contour(info.id, start, stop),
            info.mm_per_pixel,
        )
    evaluation.gather()
    result = evaluation.result()
    write_results(
        output,
        result,
        evaluation.samples,
        simulated=any(info.simulated for info in infos),
        checkpoint=None,
        task={"generated": str(generated), "real": str(real)},
        config={"clip_frames": clip_frames, "clips": clips, "speakers": speakers},
    )
    _print(result)
    print(f"scores: {output}")


def _names(listed: str) -> list[Any]:
    return [name.strip() for name in listed.split(",") if name.strip()]


def _pairs(generated: Path, real: Path, speakers: list[str] | None) -> list[tuple[Place, Place]]:
    """Each recording with its counterpart. Raises InputError where they do not fit each other."""
    made, true = _recordings(generated), _recordings(real)
    if speakers is not None:
        known = {info.speaker for _, info in true.values()}
        if missing := [name for name in speakers if name not in known]:
            raise InputError(f"There is no speaker {missing[0]!r} in {real}, only: {', '.join(sorted(known))}.")
        true = {id: place for id, place in true.items() if place[1].speaker in speakers}
        made = {id: place for id, place in made.items() if id in true or place[1].speaker in speakers}
    for ids, others, where in ((true, made, generated), (made, true, real)):
        if lacking := [id for id in ids if id not in others]:
            raise InputError(
                f"{where} lacks {len(lacking)} recording(s) of the other folder, {lacking[0]!r} first: both must hold "
                "the same ids."
            )
    for id, (shard, info) in made.items():
        other = true[id][1]
        if info.size != other.size:
            raise InputError(
                f"{shard.path}: the frames of {id!r} are {_size(info)} and those of {other.shard} {_size(other)}: "
                "prepare both with one --size."
            )
        if info.frames != other.frames:
            raise InputError(
                f"{shard.path}: {id!r} has {info.frames} frames and in {other.shard} {other.frames}: give "
                "recordings of the same length."
            )
    return [(made[id], true[id]) for id in true]


def _recordings(folder: Path) -> dict[str, Place]:
    """What is in the shards of a folder, by id."""
    found: dict[str, Place] = {}
    for shard in map(Shard, find_shards(folder)):
        for id in shard.ids:
            if id in found:
                raise InputError(f"Recording {id!r} is both in {found[id][0].path} and in {shard.path}; leave one out.")
            found[id] = (shard, shard.info(id))
    return found


def _size(info: RecordingInfo) -> str:
    return f"{info.size[0]}x{info.size[1]}"


def _print(result: dict[str, Any]) -> None:
    """The scores as a table, and what is missing."""
    table = Table(box=box.SIMPLE, title=f"{result['clips']} clips of {result['recordings']} recordings")
    table.add_column("score")
    for column in ("value", "95 % interval"):
        table.add_column(column, justify="right")
    for name, value in result["scores"].items():
        table.add_row(name, f"{value:.4g}", _between(result["intervals"].get(name, ())))
    for name, value in result["levels"].items():
        table.add_row(name, f"{value:.4g}", "", style="dim")
    console = Console()
    console.print(table)
    for name, reason in result["missing"].items():
        console.print(f"{name} is missing: {reason}", markup=False, highlight=False)


def _between(interval: Iterable[float]) -> str:
    return " to ".join(f"{value:.4g}" for value in interval)
