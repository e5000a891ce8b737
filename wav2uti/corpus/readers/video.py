"""Ultrasound as video: avi, mp4, mov or mkv with its own sound or with a wav beside it.

name.mp4          picture, and the sound if it has any
name.wav          sound of a silent video; both then begin at 0, but for the offset that the user gives
name.txt          prompt or transcript (optional file)
name.TextGrid     words and phones with their times (optional file)
"""

from pathlib import Path
from typing import ClassVar

from wav2uti.corpus.formats.prompt import read_prompt, speaker_of, task_of
from wav2uti.corpus.formats.textgrid import read_textgrid, words_and_phones
from wav2uti.corpus.formats.video import VideoPicture, first_time, open_sound
from wav2uti.corpus.raw import RawRecording
from wav2uti.corpus.readers.base import Candidate, Reader, beside, files_in, present
from wav2uti.corpus.sound import FileSound, Sound
from wav2uti.errors import InputError


class VideoReader(Reader):
    """Reader of ultrasound videos.

    Attributes:
        suffixes: of the files that it takes.
        language: of what is spoken, where the user does not say.
    """

    name: ClassVar[str] = "video"
    about: ClassVar[str] = "ultrasound as video, with its own sound or a wav beside it"
    suffixes: ClassVar[tuple[str, ...]] = (".avi", ".mp4", ".mov", ".mkv")
    language: ClassVar[str] = ""

    def find(self, source: Path) -> list[Candidate]:
        """A candidate for each video.

        In a folder a video beside raw ultrasound of the same name is none: it shows the lips (TaL), or the same
        ultrasound again. Named itself it is one, and `open` says why not.
        """
        return [
            Candidate(path.stem, _files(path), self)
            for path in files_in(source, self.suffixes)
            if self.takes(path) and (source.is_file() or not _has_raw_ultrasound(path))
        ]

    def takes(self, path: Path) -> bool:
        """Whether a video of that name belongs to the layout."""
        return True

    def sound_of(self, candidate: Candidate) -> tuple[Sound, float]:
        """Sound of a candidate and the time of its first sample on the clock of the video's time stamps, in s.

        A sound file of another name than the video's was named by the user and goes before the video's own sound.
        """
        path, sound = candidate.files["video"], candidate.files.get("sound")
        if (sound is None or sound == _sound_beside(path)) and (own := open_sound(path)) is not None:
            return own
        if sound is None:
            raise InputError(
                f"{path} has no sound: put a wav of the same name beside it ({path.stem}.wav), or copy it again "
                "if it should have sound."
            )
        return FileSound(sound), first_time(path)

    def open(self, candidate: Candidate, size: int) -> RawRecording:
        """Open a video, with its own sound or else with the sound file of the candidate."""
        path, given = candidate.files["video"], candidate.given
        if path.name.lower().startswith("lips_"):
            raise InputError(f"{path} is a video of the lips by its name, not of the tongue: leave it out.")
        if _has_raw_ultrasound(path):
            raise InputError(f"{path} stands beside raw ultrasound of the same name (a lips video in TaL): read that.")
        sound, start = self.sound_of(candidate)
        picture = VideoPicture(path, size, given.crop, given.hflip or False, (given.offset or 0.0) - start)
        prompt = read_prompt(candidate.files.get("prompt"))
        text = prompt.text if given.text is None else given.text
        grid = candidate.files.get("textgrid")
        words, phones = words_and_phones(read_textgrid(grid), text) if grid else ((), ())
        return RawRecording(
            id=candidate.id,
            picture=picture,
            sound=sound,
            speaker=given.speaker or speaker_of(path, prompt),
            task=given.task or task_of(path),
            text=text,
            language=self.language if given.language is None else given.language,
            source=path.name,
            split=given.split or "",
            words=words,
            phones=phones,
        )


def _files(path: Path) -> dict[str, Path]:
    """The files of a video by role."""
    stem = path.stem
    return present(
        video=path,
        sound=_sound_beside(path),
        prompt=beside(path, f"{stem}.txt"),
        textgrid=beside(path, f"{stem}.TextGrid", f"{stem}.textgrid"),
    )


def _sound_beside(path: Path) -> Path | None:
    return beside(path, f"{path.stem}.wav")


def _has_raw_ultrasound(path: Path) -> bool:
    """Whether `name.ult` or its metadata stand beside a video."""
    return beside(path, f"{path.stem}.ult", f"{path.stem}.param", f"{path.stem}US.txt") is not None
