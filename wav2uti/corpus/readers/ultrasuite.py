"""UltraSuite: `name.ult` with `name.param`, at the constant rate that it states."""

from pathlib import Path

from wav2uti.corpus.readers.scanlines import ScanlineReader


class UltraSuiteReader(ScanlineReader):
    """Reader of UltraSuite's core format."""

    name = "ultrasuite"
    about = "UltraSuite's raw ultrasound (.ult, .param, .wav)"

    def claims(self, metadata: Path | None, pulses_in_folder: bool) -> bool:
        return metadata is not None and metadata.suffix.lower() == ".param" and not pulses_in_folder
