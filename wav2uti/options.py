"""Checks of numbers that a config gives: what is out of range or no number is told before anything is computed."""

import math

from wav2uti.errors import InputError


def check_shares(**shares: float) -> None:
    """Raise an InputError unless each is from 0 to 1."""
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise InputError(f"{name} is a share, from 0 to 1, not {value}.")


def check_counts(least: int, **counts: int | None) -> None:
    """Raise an InputError where one is smaller; None is a default that another place knows."""
    for name, value in counts.items():
        if value is not None and value < least:
            raise InputError(f"{name} must be {least} or more, not {value}.")


def check_numbers(least: float = -math.inf, **numbers: float | None) -> None:
    """Raise an InputError where one is smaller, infinite or NaN; None is a default that another place knows."""
    wanted = "a finite number" if least == -math.inf else f"a finite number of {least:g} or more"
    for name, value in numbers.items():
        if value is not None and not (math.isfinite(value) and value >= least):
            raise InputError(f"{name} must be {wanted}, not {value}.")


def check_positive(**numbers: float) -> None:
    """Raise an InputError unless each is finite and above 0."""
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise InputError(f"{name} must be a finite number above 0, not {value}.")
