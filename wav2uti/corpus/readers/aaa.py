"""Articulate Assistant Advanced (AAA) as it exports raw ultrasound: `name.ult` with `nameUS.txt`."""

from pathlib import Path

from wav2uti.corpus.readers.scanlines import ScanlineReader


class AAAReader(ScanlineReader):
    """Reader of AAA's own exports, and of an `.ult` without metadata, to say what it needs."""

    name = "aaa"
    about = "raw ultrasound exported from AAA (.ult, US.txt, .wav)"

    def claims(self, metadata: Path | None, pulses_in_folder: bool) -> bool:
        return metadata is None or metadata.suffix.lower() != ".param"
