"""Recordings of the simulated corpus: the same bits for the same seed, speaker and utterance.

Every recording draws from its own random numbers, spawned by (speaker, utterance): neither the number of processes nor
the number of utterances changes one. Each of them says that it is simulated.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from wav2uti.corpus.recording import Recording
from wav2uti.corpus.simulate.articulation import PER_FRAME, Movement, articulate, plan, rest
from wav2uti.corpus.simulate.inventory import draw_utterance
from wav2uti.corpus.simulate.maeda import LINES, coefficients, outline, tongue_position
from wav2uti.corpus.simulate.speakers import Speaker, draw_speaker
from wav2uti.corpus.simulate.synthesis import speak
from wav2uti.corpus.simulate.ultrasound import FIELD, Renderer

Array = NDArray[np.float64]

POINTS = 50
RENDERED_LINE, GIVEN_LINE = 4, 7  # of the 25 of the tongue: where the surface begins for the picture, for the contour
EDGE = 44.0  # degrees: the true contour is given as far as the fan shows it


def simulate_recording(speaker: int, utterance: int, size: int, seed: int, speckle: int = 0) -> Recording:
    """One recording of the corpus with this seed.

    Another `speckle` gives the same movement and sound with other speckle and noise in the picture: how far two such
    pictures are apart is the least error that a model which knows the movement can have.
    """
    person = draw_speaker(speaker, seed)
    sequence = np.random.SeedSequence(seed, spawn_key=(speaker, utterance))
    speech, voice, picture = (np.random.default_rng(child) for child in sequence.spawn(3))
    if speckle:
        picture = np.random.default_rng([speckle, speaker, utterance, seed])
    task, syllables = draw_utterance(speech)
    score = plan(syllables, task, person, speech)
    movement = articulate(score, person, speech)
    renderer = Renderer(person.scanner, size, picture)
    still = rest(person)[None]
    reference = renderer.render(contour_mm(still, tongue_position(still), person), np.zeros(1))
    shown = movement.at(slice(None, None, PER_FRAME))
    contour = contour_mm(shown.parameters, shown.tongue, person)
    return Recording(
        id=f"{person.name}_u{utterance:03d}",
        frames=renderer.render(contour, jaw_mm(shown, person)),
        audio=speak(movement, person, voice),
        speaker=person.name,
        task=task,
        text=" ".join(syllable.pinyin for syllable in syllables),
        language="zh-Latn-pinyin",
        source=f"simulated (wav2uti, seed {seed}{f', speckle {speckle}' if speckle else ''})",
        simulated=True,
        mm_per_pixel=FIELD / size,
        contour=renderer.fan.pixels(visible(contour, person)),
        words=score.words,
        phones=score.phones,
        reference=reference[0],
    )


def contour_mm(parameters: Array, tongue: Array, speaker: Speaker) -> Array:
    """Tongue surface from the root to the tip in mm (right, up) from the probe's centre of curvature; (T, 4 K, 2).

    A spline through the grid lines, its points at equal steps from line to line.
    """
    points = 10.0 * (outline(parameters, tongue, speaker.anatomy).tongue[:, RENDERED_LINE:] - speaker.scanner.probe)
    tilt = np.radians(speaker.scanner.tilt)
    # The fan leans to the front by the tilt: in its own frame the tongue leans to the rear.
    turned = points @ np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    lines = np.arange(points.shape[1])
    smooth: Array = CubicSpline(lines, turned, axis=1)(np.linspace(0, lines[-1], 4 * POINTS))
    return smooth


def visible(contour: Array, speaker: Speaker) -> Array:
    """The part of a contour (T, K, 2) in the fan and before the hyoid's shadow, as `POINTS` equidistant points."""
    angle = np.degrees(np.arctan2(contour[..., 0], contour[..., 1]))
    # From the tip to the rear: what lies behind the first point out of sight is out of sight, too.
    rear = np.logical_and.accumulate(angle[:, ::-1] >= max(speaker.scanner.hyoid_edge, -EDGE), axis=1)[:, ::-1]
    within = rear & (angle <= EDGE)
    within[:, : contour.shape[1] * (GIVEN_LINE - RENDERED_LINE) // (LINES - 1 - RENDERED_LINE)] = False
    return np.stack([_equidistant(c[w]) for c, w in zip(contour, within, strict=True)])


def _equidistant(points: Array) -> Array:
    """A polyline (K, 2) as `POINTS` points at equal distances along it."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    wanted = np.linspace(0.0, along[-1], POINTS)
    return np.stack([np.interp(wanted, along, points[:, axis]) for axis in (0, 1)], axis=1)


def jaw_mm(movement: Movement, speaker: Speaker) -> Array:
    """Height of the jaw over its place at rest in mm, shape (T,)."""
    model = coefficients()
    std = model.tongue[1][0] * model.cm * speaker.anatomy.scale * 10.0
    height: Array = std * (movement.parameters[:, 0] - rest(speaker)[0])
    return height
