"""What names of files and folders tell: speaker, task, split and language by the user's own pattern."""

import re
from dataclasses import dataclass
from pathlib import PurePath

from wav2uti.corpus.given import Given
from wav2uti.corpus.recording import Task
from wav2uti.errors import InputError

# The paper's corpus writes `stn` for a sentence; the other short forms are those that laboratories use.
TASKS: dict[str, Task] = {
    **dict.fromkeys(("vowel", "vowels", "vow", "v"), "vowel"),
    **dict.fromkeys(("word", "words", "wrd", "wd", "w"), "word"),
    **dict.fromkeys(("sentence", "sentences", "stn", "sen", "sent", "s"), "sentence"),
    "other": "other",
}
SPLITS: dict[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_GROUPS = ("speaker", "task", "split", "language")


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A regular expression with named groups, found in the path of a recording.

    >>> NamePattern(r"(?P<speaker>spk\\d+)_(?P<task>[a-z]+)\\d+").given("s1/spk07_stn00144.avi").task
    'sentence'

    Attributes:
        pattern: has at least one of the groups speaker, task, split and language, and no other named one.

    Raises:
        InputError: no regular expression, or one without these groups or with others.
    """

    pattern: str

    def __post_init__(self) -> None:
        allowed = f"it needs one or more of the groups {', '.join(f'(?P<{group}>...)' for group in _GROUPS)}"
        try:
            groups = re.compile(self.pattern).groupindex
        except (re.error, OverflowError, RecursionError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"The pattern {self.pattern!r} is no regular expression ({reason}): {allowed}.") from error
        if unknown := [group for group in groups if group not in _GROUPS]:
            raise InputError(f"The pattern {self.pattern!r} has the unknown group {unknown[0]!r}: {allowed}.")
        if not groups:
            raise InputError(f"The pattern {self.pattern!r} names nothing that it finds: {allowed}.")

    def given(self, relative_path: PurePath | str) -> Given:
        """What the path of a recording below its source says ("/" between folders); nothing where it does not match."""
        match = re.search(self.pattern, PurePath(relative_path).as_posix())
        found = {name: value for name, value in match.groupdict().items() if value} if match else {}
        return Given(
            speaker=found.get("speaker"),
            task=task_word(found["task"]) if "task" in found else None,
            split=split_word(found.get("split", "")) or None,
            language=found.get("language"),
        )


def task_word(code: str) -> Task:
    """Task by its name or short form, in any case.

    >>> task_word("STN"), task_word("swallow")
    ('sentence', 'other')
    """
    return TASKS.get(code.strip().lower(), "other")


def split_word(code: str) -> str:
    """ "train", "val" or "test" by its name or another for it, in any case; empty where it is no such name.

    >>> split_word("Dev"), split_word("part2")
    ('val', '')
    """
    return SPLITS.get(code.strip().lower(), "")


def split_of(path: PurePath) -> str:
    """ "train", "val" or "test" by the folder nearest to the file that is named so, or empty.

    `path` is relative to the source of the corpus: a corpus kept in a folder "test" is not all for testing.

    >>> split_of(PurePath("TRAIN/spk07/test.avi"))
    'train'
    """
    return next((split for folder in path.parents if (split := split_word(folder.name))), "")
