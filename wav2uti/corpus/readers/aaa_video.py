"""Videos exported from Articulate Assistant Advanced (AAA): an avi of the fan with the sound in it.

The first frame stands one period after the sound's first sample; the time stamps say so.
"""

from typing import ClassVar

from wav2uti.corpus.readers.video import VideoReader


class AAAVideoReader(VideoReader):
    """Reader of AAA's video exports."""

    name: ClassVar[str] = "aaa_video"
    about: ClassVar[str] = "avi of the fan, as AAA exports it with its sound"
    suffixes: ClassVar[tuple[str, ...]] = (".avi",)
