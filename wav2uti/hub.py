"""The Hugging Face hub: which names are repositories on it, and one sentence for each reason why it refuses.

Whatever asks the hub comes through here: encoders (`speech.hub`), trained models that are used (`tasks.located`) and
published (`report.push`).
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wav2uti.errors import InputError

_PART = r"[A-Za-z0-9][\w.-]{0,95}"
_REPOSITORY = re.compile(rf"(?P<id>{_PART}/{_PART})(?:@(?P<revision>[^\s@]+))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_path(name: str) -> bool:
    """Whether a name can only be a path: a repository is `name` or `owner/name`.

    >>> is_path("./model"), is_path("~/model"), is_path("a/b/c"), is_path("owner/model")
    (True, True, True, False)
    """
    parts = name.replace(os.sep, "/").split("/")
    return len(parts) > 2 or parts[0] in ("", ".", "..") or parts[0].startswith("~")


def repository(name: str) -> tuple[str, str | None] | None:
    """The repository and the revision that `owner/name` or `owner/name@revision` stand for; None for other names.

    >>> repository("owner/model@v1"), repository("owner/model"), repository("./model"), repository("runs/last.ckpt")
    (('owner/model', 'v1'), ('owner/model', None), None, None)
    """
    found = _REPOSITORY.fullmatch(name)
    if found is None or is_path(found["id"]) or found["id"].endswith((".ckpt", ".safetensors", ".git")):
        return None
    return found["id"], found["revision"]


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a whole commit hash, which stands for the same files for ever."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def resolved_commit(model: str, revision: str | None = None) -> str | None:
    """The commit hash that a revision of a hub model stands for, or None.

    It comes from the revision itself, from the hub's cache, or from the hub unless HF_HUB_OFFLINE is set, in this
    order. None: a local folder, or a model that is not to be had now.
    """
    if is_commit(revision):
        return revision
    if is_path(model) or Path(model).expanduser().is_dir():
        return None
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_OFFLINE

    try:
        cached = try_to_load_from_cache(model, "config.json", revision=revision)
        if isinstance(cached, str):
            return Path(cached).parent.name  # snapshots/COMMIT/config.json
        return None if HF_HUB_OFFLINE else HfApi().model_info(model, revision=revision, timeout=10).sha
    except (OSError, ValueError):  # no network, no such model, or no valid name: loading it says which
        return None


def is_kept_for_all(model: Path) -> bool:
    """Whether a model lies in the hub's cache or in this package, where no results of its user belong."""
    from huggingface_hub import constants

    folders = (Path(constants.HF_HUB_CACHE), Path(__file__).parent)
    return any(model.absolute().is_relative_to(folder.absolute()) for folder in folders)


@contextmanager
def asking(repository: str, revision: str | None = None, write: bool = False) -> Iterator[None]:
    """Let the refusals of the hub be told as the user's mistakes, one sentence for each.

    Args:
        repository: that is asked about.
        revision: of it, where one was named.
        write: something is to be written, else read.
    """
    from huggingface_hub import constants, errors

    named = f"{repository}{f' at revision {revision}' if revision else ''}"
    offline = constants.HF_HUB_OFFLINE
    kept = f"not kept on this machine (by an earlier download): there run `hf download {repository}"
    kept += f" --revision {revision}`" if revision else "`"
    try:
        yield
    except InputError:
        raise
    except errors.GatedRepoError as error:
        raise InputError(
            f"{named} is on the Hugging Face hub for those only who accept its terms: accept them on its page, then "
            "log in here with `hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"The Hugging Face hub shows you no {repository}: check the name, and where it is private log in with "
            "`hf auth login`, or set HF_TOKEN."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(
            f"{repository} on the Hugging Face hub has no revision {revision}: name a branch, a tag or a commit of it."
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        if write:
            reason = "HF_HUB_OFFLINE is set: unset it" if offline else f"it could not be reached ({_first(error)})"
            raise InputError(f"Nothing was written to {named} on the Hugging Face hub, because {reason}.") from error
        reason = "is not asked (HF_HUB_OFFLINE is set)" if offline else "could not be reached"
        raise InputError(f"The Hugging Face hub {reason}, and {named} is {kept} where there is a network.") from error
    except errors.HfHubHTTPError as error:
        raise InputError(_refusal(named, error, write)) from error
    except errors.HFValidationError as error:
        raise InputError(f"{named} is no name of a repository on the Hugging Face hub ({_first(error)}).") from error
    except Exception as error:  # what the network, the disk and the hub's client raise has no common class
        does = "write" if write else "read"
        raise InputError(
            f"The Hugging Face hub could not be asked to {does} {named} ({_first(error)}): check the network and the "
            "free space, and try again."
        ) from error


def _refusal(named: str, error: Exception, write: bool) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        right = "write to" if write else "read"
        return (
            f"The Hugging Face hub does not let you {right} {named} ({status}): log in with `hf auth login`, or set "
            f"HF_TOKEN, to a token that may {right} it."
        )
    return f"The Hugging Face hub refuses {named} ({_first(error)}): try again later, or see the state of the hub."


def _first(error: Exception) -> str:
    """The first line of a message, without its full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:200].rstrip(".:")
