"""Where a trained model lies, by whatever it is named: a file, a folder, the shipped model, a repository on the hub."""

import os
from pathlib import Path

from wav2uti.errors import InputError
from wav2uti.hub import asking, is_commit, repository
from wav2uti.names import printable
from wav2uti.pretrained import FOLDER, MODEL
from wav2uti.tasks.exported import CARD, CONFIG, REFERENCE, WEIGHTS, read_config

FILES = (WEIGHTS, CONFIG, CARD, REFERENCE)  # all of a model that is ever published or downloaded


def located(name: str | Path) -> Path:
    """The file or folder of a trained model.

    A path that exists goes before a name. What comes from the hub is kept in its cache (HF_HOME), and a model that is
    kept there is used where the hub cannot be reached; with HF_HUB_OFFLINE the hub is not asked.

    Args:
        name: a .ckpt file, a folder of `wav2uti export`, the name of the shipped model, or of a repository on the
            Hugging Face hub: `owner/name`, or `owner/name@revision` for a branch, a tag or a commit of it.

    Raises:
        InputError: there is nothing of this name; the hub cannot be reached, has no such repository, or does not show
            it; or what it has there is no model of wav2uti.
    """
    path = Path(os.path.expanduser(name))  # noqa: PTH111 (never raises, as the next line)
    if os.path.exists(path):  # noqa: PTH110
        return path
    if str(name) == MODEL:
        return FOLDER
    if (found := repository(str(name))) is None:
        raise InputError(
            f"There is no checkpoint {name}; train one with `wav2uti fit`, or give another path or the name of a model "
            "on the Hugging Face hub, such as owner/name."
        )
    return downloaded(*found)


def downloaded(repository: str, revision: str | None = None) -> Path:
    """The folder in the hub's cache with the files of an exported model, and no others; see `located`.

    config.json comes first: of a repository that holds something else, no gigabytes are fetched.
    """
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    named = repository if revision is None else f"{repository}@{revision}"
    files = list(FILES)
    with asking(repository, revision):
        try:
            if is_commit(revision):  # the same for ever: kept, it is not asked for
                return _whole(Path(snapshot_download(repository, revision=revision, local_files_only=True)), named)
        except (LocalEntryNotFoundError, InputError):
            pass
        try:
            # One question without the client's half a minute of trying again where the hub cannot be reached.
            commit = HfApi().model_info(repository, revision=revision, timeout=10).sha
        except Exception as error:  # of several libraries, one for each way in which there is no network
            if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
                raise
            kept = snapshot_download(repository, revision=revision, allow_patterns=files, local_files_only=True)
            return _whole(Path(kept), named)
        try:
            config = hf_hub_download(repository, CONFIG, revision=commit)
        except EntryNotFoundError as error:
            if isinstance(error, LocalEntryNotFoundError):  # it says nothing about the hub
                raise
            raise _no_model(named) from error
        try:
            read_config(Path(config).parent)
        except InputError as error:
            raise InputError(f"{named} on the Hugging Face hub cannot be used: {error}") from error
        return _whole(Path(snapshot_download(repository, revision=revision, allow_patterns=files)), named)


def _whole(folder: Path, named: str) -> Path:
    """The folder, if it has the files without which no model can be used."""
    if not all((folder / name).is_file() for name in (CONFIG, WEIGHTS)):
        raise _no_model(named)
    return folder


def _no_model(named: str) -> InputError:
    return InputError(
        f"The repository {printable(named)} on the Hugging Face hub holds no model of wav2uti (it lacks {CONFIG} or "
        f"{WEIGHTS}): give one that `wav2uti push` wrote."
    )
