"""Names from outside: shown so that no terminal obeys them, and made safe where they become names of files.

Whoever records a corpus, names its files; whoever is sent one, should not have to trust these names.
"""

import re
from hashlib import blake2b

LONGEST = 160  # bytes of a file's name without its ending: with endings it stays within the usual 255

_CONTROLS = "\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"  # also those that turn the line
_CONTROL = re.compile(f"[{_CONTROLS}]")
_NOT_IN_FILES = re.compile(f'[{_CONTROLS}/\\\\<>:"|?*]+')  # on any system
_FIRST = re.compile(r"^[-.~\s]+")  # an option, a hidden file, a home folder
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)  # of Windows


def printable(text: str) -> str:
    r"""A text with its control characters, line breaks and broken letters as escapes: one line, whatever is in it.

    >>> printable("a\nb\x1b[2J")
    'a\\nb\\x1b[2J'
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def file_name(name: str) -> str:
    """A name as that of a file, without its ending, which stays in its folder on every system.

    A name that will do is kept. Of others the letters that will do are kept, and a digest of the whole name is added,
    so that two names stay two.

    >>> file_name("s01_u000"), file_name("../secret")
    ('s01_u000', '__secret-9ec7cebd')
    """
    safe = _NOT_IN_FILES.sub("_", _FIRST.sub("_", name)).rstrip(". ")
    if _DEVICES.fullmatch(safe):
        safe = f"_{safe}"
    if safe and safe == name and len(name.encode()) <= LONGEST:
        return name
    digest = f"-{_digest(name)}"
    return (safe.encode()[: LONGEST - len(digest)].decode(errors="ignore") or "_") + digest


def recording_id(name: str) -> str:
    """A name as that of a recording: no slash, no control character, not beginning with a dot; others are kept.

    >>> recording_id("a [1]"), recording_id("S1/a")[:4]
    ('a [1]', 'S1_a')
    """
    safe = re.sub(f"[{_CONTROLS}/]+", "_", name)
    safe = f"_{safe}" if safe.startswith(".") or not safe else safe
    return name if safe == name else f"{safe}-{_digest(name)}"


def _digest(name: str) -> str:
    return blake2b(name.encode(errors="surrogatepass"), digest_size=4).hexdigest()
