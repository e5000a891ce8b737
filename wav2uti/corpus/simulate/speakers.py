"""The simulated speakers: anatomy, habits of articulation, voice, and how the probe sits and the scanner is set."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wav2uti.corpus.simulate.maeda import PARAMETERS, Anatomy

_PARAMETER_GAIN_SD = 0.06
_PARAMETER_BIAS_SD = np.array([0.18, 0.18, 0.18, 0.18, 0.05, 0.08, 0.2])


@dataclass(frozen=True)
class Scanner:
    """Where the probe is and how its picture is made.

    Attributes:
        probe: place of the centre of the probe's curvature in cm, in the frame of `maeda.Outline`.
        tilt: angle in degrees by which the fan leans to the front.
        gain: dB added to the whole picture.
        dynamic_range: dB from black to white.
        attenuation: dB lost per cm of tissue after time gain compensation.
        line_width: thickness of the surface line in mm.
        line_level: brightness of the line over the tissue in dB.
        air_level: level of the noise above the tongue against the tissue in dB.
        jaw_edge, hyoid_edge: angles in degrees from the axis where the two shadows begin.
        muscles: seed of the pattern of muscles and tendons, the same in all recordings of the speaker.
    """

    probe: tuple[float, float]
    tilt: float
    gain: float
    dynamic_range: float
    attenuation: float
    line_width: float
    line_level: float
    air_level: float
    jaw_edge: float
    hyoid_edge: float
    muscles: int


@dataclass(frozen=True, eq=False)
class Speaker:
    """One simulated speaker.

    Attributes:
        name: "s00" and so on.
        gain, bias: change of the articulatory targets, shape (7,).
        rate: speed of speech, 1 on average.
        pitch: fundamental frequency in Hz at the middle of the range.
        jitter: standard deviation of the period from one cycle to the next, as a share.
        breath: level of the noise of the glottis.
    """

    name: str
    anatomy: Anatomy
    gain: NDArray[np.float64]
    bias: NDArray[np.float64]
    rate: float
    pitch: float
    jitter: float
    breath: float
    scanner: Scanner

    def target(self, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """How this speaker realizes a target."""
        realized: NDArray[np.float64] = parameters * self.gain + self.bias
        return realized


def draw_speaker(index: int, seed: int) -> Speaker:
    """Speaker number `index` of the corpus with this seed; even ones have a male tract, odd ones a female tract."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    male = index % 2 == 0
    scale = rng.uniform(0.96, 1.08) if male else rng.uniform(0.80, 0.90)
    anatomy = Anatomy(
        scale=scale,
        pharynx=rng.uniform(0.97, 1.05) if male else rng.uniform(0.86, 0.95),
        palate=rng.normal(0.0, 0.25),
    )
    scanner = Scanner(
        probe=(scale * (0.2 + rng.normal(0.0, 0.2)), -scale * (3.6 + rng.normal(0.0, 0.2))),
        tilt=rng.normal(0.0, 4.0),
        gain=rng.normal(0.0, 2.5),
        dynamic_range=rng.uniform(46.0, 58.0),
        attenuation=rng.uniform(2.0, 4.5),
        line_width=rng.uniform(0.9, 1.35),
        line_level=rng.uniform(21.0, 27.0),
        air_level=rng.uniform(-22.0, -12.0),
        jaw_edge=rng.uniform(30.0, 37.0),
        hyoid_edge=-rng.uniform(32.0, 41.0),
        muscles=int(rng.integers(2**31)),
    )
    return Speaker(
        name=f"s{index:02d}",
        anatomy=anatomy,
        gain=1.0 + rng.normal(0.0, _PARAMETER_GAIN_SD, PARAMETERS),
        bias=rng.normal(0.0, 1.0, PARAMETERS) * _PARAMETER_BIAS_SD,
        rate=rng.uniform(0.88, 1.14),
        pitch=rng.uniform(100.0, 140.0) if male else rng.uniform(180.0, 240.0),
        jitter=rng.uniform(0.004, 0.012),
        breath=rng.uniform(0.5, 1.5),
        scanner=scanner,
    )
