"""The simulated vocal tract against closed forms and published formants."""

import numpy as np
import pytest

from wav2uti.corpus.simulate.acoustics import (
    FORMANT_FREQUENCIES,
    SYNTHESIS_FREQUENCIES,
    formants,
    noise_transfer,
    transfer,
)
from wav2uti.corpus.simulate.inventory import FORMANTS, VOWELS
from wav2uti.corpus.simulate.maeda import Anatomy, area_function, equal_sections, outline, tongue_position


def tract(*names: str) -> tuple[np.ndarray, np.ndarray]:
    parameters = np.stack([VOWELS[name] for name in names])
    return equal_sections(*area_function(outline(parameters, tongue_position(parameters), Anatomy())))


def test_a_uniform_tube_has_the_formants_of_a_quarter_wave_resonator() -> None:
    response = transfer(np.full((1, 30), 4.0), np.array([17 / 30]), FORMANT_FREQUENCIES)
    found = formants(response[0], FORMANT_FREQUENCIES)
    # Odd multiples of c / 4L, the first raised by the walls, all lowered by the radiation.
    assert found == pytest.approx([522, 1467, 2438, 3416], rel=0.02)


def test_sections_do_not_matter_for_a_uniform_tube() -> None:
    few = transfer(np.full((1, 5), 4.0), np.array([17 / 5]), FORMANT_FREQUENCIES)
    many = transfer(np.full((1, 30), 4.0), np.array([17 / 30]), FORMANT_FREQUENCIES)
    np.testing.assert_allclose(few, many, rtol=2e-3)


@pytest.mark.parametrize("name", FORMANTS)
def test_vowels_have_their_formants_within_five_percent(name: str) -> None:
    response = transfer(*tract(name), FORMANT_FREQUENCIES)
    assert formants(response[0], FORMANT_FREQUENCIES)[:2] == pytest.approx(FORMANTS[name], rel=0.05)


def test_a_shorter_tract_raises_the_formants_in_proportion() -> None:
    areas, length = tract("@")
    long = formants(transfer(areas, length, FORMANT_FREQUENCIES)[0], FORMANT_FREQUENCIES)
    short = formants(transfer(areas, 0.85 * length, FORMANT_FREQUENCIES)[0], FORMANT_FREQUENCIES)
    assert short[1] / long[1] == pytest.approx(1 / 0.85, rel=0.03)


def test_equal_sections_keep_length_and_volume() -> None:
    parameters = VOWELS["e"][None]
    areas, lengths = area_function(outline(parameters, tongue_position(parameters), Anatomy()))
    equal, step = equal_sections(areas, lengths)
    assert 30 * step[0] == pytest.approx(lengths.sum())
    assert (equal[0, :-1] * step[0]).sum() == pytest.approx((areas * lengths).sum(), rel=0.03)
    assert 15 < lengths.sum() < 19


def test_the_tongue_stays_inside_the_wall() -> None:
    parameters = VOWELS["i"][None]
    pushed = outline(parameters, np.full((1, 25), 20.0), Anatomy())
    np.testing.assert_allclose(pushed.tongue, pushed.outer[:, 2:27])
    areas, _ = area_function(pushed)
    assert areas.min() > 0


def test_i_lies_high_and_in_front_of_a() -> None:
    parameters = np.stack([VOWELS["i"], VOWELS["a"]])
    i, a = outline(parameters, tongue_position(parameters), Anatomy()).tongue
    assert i[:, 1].max() > a[:, 1].max() + 0.3
    # Cavity behind: the root of i is advanced.
    assert i[6, 0] > a[6, 0] + 0.5


def test_closed_lips_silence_the_mouth_and_the_nose_opens_a_way() -> None:
    areas, length = tract("a")
    areas[:, -1] = 1e-4
    closed = np.abs(transfer(areas, length)[0])
    nasal = np.abs(transfer(areas, length, port=np.array([0.4]))[0])
    low = (SYNTHESIS_FREQUENCIES > 200) & (SYNTHESIS_FREQUENCIES < 1000)
    assert nasal[low].mean() > 5 * closed[low].mean()


def test_a_front_fricative_is_brighter_than_a_back_one() -> None:
    areas = np.full((2, 30), 3.0)
    areas[0, 27], areas[1, 15] = 0.1, 0.1
    power = np.abs(noise_transfer(areas, np.full(2, 17 / 30), np.array([28, 16]))) ** 2
    # Radiated pressure is the derivative of the flow.
    power = power * SYNTHESIS_FREQUENCIES**2
    centroid = (power * SYNTHESIS_FREQUENCIES).sum(axis=1) / power.sum(axis=1)
    assert np.isfinite(power).all()
    assert centroid[0] > centroid[1] + 500
