"""What the drawing process may be asked to do, and what it answers; `studio` does it."""

from dataclasses import dataclass
from pathlib import Path

# Videos that one can switch between, by kind of result, and what the page calls them.
VIDEOS = {"video": "Frames", "spread": "Mean and spread", "truth": "Original"}


@dataclass(frozen=True)
class Load:
    """Load a model, so that the first drawing need not."""

    model: tuple[str, ...]


@dataclass(frozen=True)
class Transcribe:
    """Write down what is said, with the model's transcriber.

    Attributes:
        model: what `load` takes.
        sound: file.
        seconds: that it may have at most.
    """

    model: tuple[str, ...]
    sound: Path
    seconds: float


@dataclass(frozen=True)
class Draw:
    """Draw the tongue for a recording.

    Attributes:
        model: what `load` takes.
        sound: file.
        seconds: that it may have at most.
        output: folder for the results.
        name: of the recording.
        text: what is said; None for what the transcriber writes, if there is one.
        reference: picture of a frame of the speaker.
        steps, guidance: None for the model's own; guidance is its scale.
        seed: of the random numbers.
        samples: that are drawn.
    """

    model: tuple[str, ...]
    sound: Path
    seconds: float
    output: Path
    name: str
    text: str | None = None
    reference: Path | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0
    samples: int = 1


Job = Load | Transcribe | Draw


@dataclass(frozen=True)
class View:
    """What a player needs to know of one model's drawing; JSON when it reaches the page.

    Attributes:
        frames: their number; frame k stands at k / fps.
        fps: frames a second.
        size: height and width of a frame in pixels.
        simulated: the model has seen simulated tongues only.
        videos: names of files, by kind.
        wave: greatest and least sample of each column, as percent of the peak.
        spectrogram, contour: names of files.
        reference: name of the picture that the model was shown; None where it was shown none.
        text: what the model read; None where it read none.
    """

    frames: int
    fps: int
    size: tuple[int, int]
    simulated: bool
    videos: dict[str, str]
    wave: list[tuple[int, int]]
    spectrogram: str
    contour: str
    reference: str | None
    text: str | None


@dataclass(frozen=True)
class Drawn:
    """What came of a `Draw`.

    Attributes:
        files: names in its folder, by kind.
        view: what the page shows of them.
        doubts: sentences that its user should know.
        seconds: that it took.
    """

    files: dict[str, str]
    view: View
    doubts: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Transcribed:
    """What came of a `Transcribe`: the text, and sentences that its user should know."""

    text: str
    doubts: tuple[str, ...]


Done = Drawn | Transcribed | None


def without_place(sentence: str, path: Path) -> str:
    """A sentence in which a file has its name alone: its folder is the server's business."""
    return sentence.replace(str(path), path.name)
