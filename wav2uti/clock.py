"""The two clocks of the project: frames at 60 Hz and samples at 16 kHz.

One frame is 16000/60 = 800/3 samples. The ratio is kept exact, so that an hour of speech ends on the same frame
as its video: always convert positions, never add up rounded steps.
"""

FPS = 60
SAMPLE_RATE = 16_000


def samples_at(frame: int) -> int:
    """First sample of a frame, which is also the length in samples of that many frames (rounded to nearest).

    >>> samples_at(60), samples_at(1)
    (16000, 267)
    """
    return (2 * frame * SAMPLE_RATE + FPS) // (2 * FPS)


def frames_in(samples: int) -> int:
    """Number of whole frames that this many samples cover, one sample of rounding forgiven.

    >>> frames_in(16000), frames_in(15999), frames_in(266)
    (60, 60, 1)
    """
    return (samples + 1) * FPS // SAMPLE_RATE


def seconds_at(frame: int) -> float:
    """Time of a frame in seconds from the start of its recording."""
    return frame / FPS
