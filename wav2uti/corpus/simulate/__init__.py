"""A simulated corpus: articulation, sound and ultrasound of speakers who do not exist, with known tongue contours."""

from wav2uti.corpus.simulate.corpus import simulate_recording

__all__ = ["simulate_recording"]
