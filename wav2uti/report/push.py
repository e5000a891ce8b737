"""`wav2uti push`: a trained model to the Hugging Face hub, or to a folder that is written as a repository there is."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from wav2uti import __version__
from wav2uti.errors import InputError
from wav2uti.files import content_of, replaced
from wav2uti.hub import asking, is_path, repository
from wav2uti.report.card import NOT_NAMED, UNKNOWN, encoders, is_hub_id, pretrained, renamed
from wav2uti.report.export import write_model
from wav2uti.tasks.base import Task
from wav2uti.tasks.exported import CARD, CONFIG, WEIGHTS, new_folder, read_config
from wav2uti.tasks.located import FILES, located

MOST_CARD = 1 << 20  # bytes
GIVE_LICENSE = "say on what terms others may use these weights, with --license, such as --license cc-by-4.0"


def push(
    model: Path,
    target: str,
    private: bool = False,
    revision: str | None = None,
    tag: str | None = None,
    message: str | None = None,
    license: str = UNKNOWN,
    metrics: Path | None = None,
    data: str | None = None,
    half: bool = False,
    force: bool = False,
) -> None:
    """Publish a trained model, as safetensors with a model card, from where `--ckpt_path TARGET` uses it.

    A target `owner/name` is a repository on the Hugging Face hub, which is made if there is none; you are who
    `hf auth login` or HF_TOKEN says. A target that is a path, such as ./owner/name, is a folder: the same files after
    the same checks, so that what a folder takes, the hub would take. A model without a licence, with data that its
    card does not name, or with encoders that only your machine has, is refused.

    Args:
        model: .ckpt file of `wav2uti fit`, or folder of `wav2uti export`.
        target: owner/name on the hub, or the path of a folder.
        private: only you and your organization see the repository; one that is public already is refused.
        revision: branch of the repository to write to, made if there is none; by default main.
        tag: name that this version keeps, such as v1.
        message: what changes, for the history of the repository.
        license: licence of the weights, such as cc-by-nc-4.0; like the next three of a .ckpt only (see `export`, which
            has more of them).
        metrics: metrics.json of a test of this checkpoint; by default that of its run.
        data: what it was trained on and on what terms, for the card.
        half: store the weights as float16.
        force: write over the model that a folder holds; on the hub the earlier one stays in the history.
    """
    on_hub = _on_hub(target)
    if not on_hub and (private or revision or tag or message):
        raise InputError(
            f"{target} is a folder, which has no history and no readers: leave out --private, --revision, --tag and "
            "--message, or give a repository on the hub as owner/name."
        )
    given = license != UNKNOWN or metrics is not None or data is not None or half
    with _exported(located(model), target, license, metrics, data, half, given) as folder:
        files = checked(folder, target)
        if on_hub:
            said = _to_hub(files, target, private, revision, tag, message)
        else:
            said = _to_folder(files, folder, _path(target), force)
    print(f"model: {said}")


def checked(folder: Path, target: str) -> dict[str, bytes | Path]:
    """The files of an exported model that may be published, by their names, with a card that calls it by its target.

    Raises:
        InputError: it cannot be loaded, or says too little for others to use it.
    """
    facts = read_config(folder)["facts"]
    for kind, model in ((kind, pretrained(spec)) for kind, spec in encoders(facts)):
        if model is not None and not is_hub_id(model):
            raise InputError(
                f"{folder} needs the model in the folder {model} ({kind}), which nobody else has: write the name that "
                f"it has on the hub into {CONFIG} and {CARD}."
            )
    path = folder / CARD
    if not path.is_file():
        raise InputError(f"{folder} has no model card ({CARD}): export the model again, or write one.")
    try:
        card = content_of(path, MOST_CARD).decode("utf-8")
        about = yaml.safe_load(re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)[1])  # type: ignore[index]
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise InputError(
            f"{path} does not begin with the lines that the hub reads, YAML between two lines of ---: export the model "
            "again, and see its card."
        ) from error
    _check_card(path, card, about if isinstance(about, dict) else {}, facts)
    Task.from_checkpoint(folder)  # all checks of a model that is used
    files: dict[str, bytes | Path] = {name: folder / name for name in FILES if (folder / name).is_file()}
    return files | {CARD: renamed(card, _name(target)).encode()}


def _check_card(path: Path, card: str, about: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    licence = str(about.get("license") or UNKNOWN).lower()
    if licence == UNKNOWN or (licence == "other" and not about.get("license_name")):
        raise InputError(
            f"{path} names no licence, without which nobody may use the model: {GIVE_LICENSE}, when you export it, or "
            "as `license:` in its first lines."
        )
    if NOT_NAMED.strip() in " ".join(card.split()):
        raise InputError(
            f"{path} does not say what the model was trained on, and on what terms: say it with --data when you export "
            "it, or in its part Data."
        )
    if facts.get("simulated") and "SIMULATED" not in card:
        raise InputError(f"{path} does not say that the model was trained on SIMULATED data: say so in its part Data.")


@contextmanager
def _exported(
    model: Path, target: str, license: str, metrics: Path | None, data: str | None, half: bool, given: bool
) -> Iterator[Path]:
    """The folder of an exported model; that of a checkpoint is written for as long as the block runs."""
    if model.is_dir():
        if given:
            raise InputError(
                f"{model} is exported already, so --license, --metrics, --data and --half come too late: edit its "
                f"{CARD}, or export the checkpoint again with them."
            )
        yield model
        return
    if license.strip().lower() in ("", UNKNOWN) or "\n" in license:
        raise InputError(f"Without a licence nobody may use the model: {GIVE_LICENSE}.")
    with tempfile.TemporaryDirectory(prefix="wav2uti_push_") as made:
        folder = Path(made) / "model"
        write_model(model, folder, _name(target), license, metrics, data, half)
        yield folder


def _on_hub(target: str) -> bool:
    """Whether a target is a repository on the hub; else it is a folder.

    Raises:
        InputError: it is neither for sure.
    """
    if is_path(target) or os.path.isdir(target):  # noqa: PTH112 (never raises)
        return False
    found = repository(target)
    if found is None or found[1] is not None:
        raise InputError(
            f"{target} is no repository on the hub (owner/name, without a revision) and no folder: begin the path of a "
            "new folder with ./."
        )
    return True


def _name(target: str) -> str:
    """What the card calls the model."""
    return target if _on_hub(target) else _path(target).resolve().name


def _path(target: str) -> Path:
    return Path(os.path.expanduser(target))  # noqa: PTH111 (never raises)


def _to_folder(files: Mapping[str, bytes | Path], source: Path, target: Path, force: bool) -> str:
    if target.exists() and target.resolve() == source.resolve():
        raise InputError(f"{target} is the model itself: give another folder.")
    if not target.is_dir() or not any(target.iterdir()):
        with new_folder(target) as part:
            for name, content in files.items():
                _write(part / name, content)
        return str(target)
    try:
        read_config(target)
    except InputError as error:
        raise InputError(f"{target} holds something else than a model: give a new or empty folder.") from error
    if not force:
        raise InputError(f"{target} holds a model already: give another folder, or --force to write over it.")
    for name in (WEIGHTS, CONFIG, *(name for name in FILES if name not in (WEIGHTS, CONFIG))):
        if name in files:  # killed in between, the sha256 in config.json is that of other weights, which is told
            with replaced(target / name) as part:
                _write(part, files[name])
        else:
            (target / name).unlink(missing_ok=True)
    return str(target)


def _write(path: Path, content: bytes | Path) -> None:
    if isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        path.write_bytes(content)


def _to_hub(
    files: Mapping[str, bytes | Path],
    target: str,
    private: bool,
    revision: str | None,
    tag: str | None,
    message: str | None,
) -> str:
    """All files in one commit, so that no reader ever gets weights of one version with the config of another."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi(library_name="wav2uti", library_version=__version__)
    with asking(target, write=True):
        api.create_repo(target, private=True if private else None, exist_ok=True)
        about = api.model_info(target)
        if private and not about.private:
            raise InputError(f"{target} is public already: leave out --private, or make it private on its page.")
        if tag is not None and _has(api, target, tag):
            raise InputError(f"{target} has a version {tag} already: give another --tag.")
        if revision is not None:
            api.create_branch(target, branch=revision, exist_ok=True)
            about = api.model_info(target, revision=revision)
        there = {file.rfilename for file in about.siblings or []}
        _check_holds_a_model(target, about.sha, there)
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in files.items()),
            *(CommitOperationDelete(path_in_repo=name) for name in sorted(there & set(FILES) - set(files))),
        ]
        said = message or f"A model of wav2uti {__version__}"
        commit = api.create_commit(target, operations, commit_message=said, revision=revision)
        if tag is not None:
            api.create_tag(target, tag=tag, revision=commit.oid)
    return f"{api.endpoint}/{target} (use it as {target}@{tag or commit.oid})"


def _has(api: Any, target: str, revision: str) -> bool:
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        api.model_info(target, revision=revision)
    except RevisionNotFoundError:
        return False
    return True


def _check_holds_a_model(target: str, commit: str | None, there: set[str]) -> None:
    """Raise an InputError where the repository holds something that wav2uti did not write."""
    from huggingface_hub import hf_hub_download

    if CONFIG in there:
        try:
            read_config(Path(hf_hub_download(target, CONFIG, revision=commit)).parent)
            return
        except InputError as error:
            raise InputError(f"{target} holds another kind of model: give a repository of its own.") from error
    if WEIGHTS in there:
        raise InputError(f"{target} holds another kind of model: give a repository of its own.")
