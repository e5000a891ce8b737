"""The paper's own corpus and its public edition, AUSpeech (Scientific Data 12:607): Mandarin, 920 x 700 at 60 fps.

speaker00054_M_s1_stn00144.mp4    speaker, sex, session, task ("stn" is a sentence) and number
speaker00054_M_s1_stn00144.wav    16 kHz sound, from the first frame on
speaker00054_M_s1_stn00144.txt    what was said, in GBK
"""

import re
from pathlib import Path
from typing import ClassVar

from wav2uti.corpus.readers.video import VideoReader

_NAME = re.compile(r"speaker\d+_[A-Z]_s\d+_[a-z]+\d+")


class AUSpeechReader(VideoReader):
    """Reader of the paper's corpus; `task_of` and `speaker_of` know its names."""

    name: ClassVar[str] = "auspeech"
    about: ClassVar[str] = "the paper's corpus: videos such as speaker00054_M_s1_stn00144, wav and text in GBK"
    language: ClassVar[str] = "zh"

    def takes(self, path: Path) -> bool:
        return _NAME.fullmatch(path.stem) is not None
