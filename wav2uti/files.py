"""Files that appear whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wav2uti.errors import InputError


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary name `.NAME.part` beside `path`, renamed to it on success and removed on failure.

    Raises:
        InputError: the folder cannot be made, or the disk refuses the file.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}): check the folder and the free space."
        ) from error
