"""The model that comes with the package: it hears sound and sees one frame of the speaker, 64x64, SIMULATED data."""

from pathlib import Path

MODEL = "simulated-64"  # its name, wherever a checkpoint can be given
FOLDER = Path(__file__).parent  # an exported folder
REFERENCE = FOLDER / "reference.png"  # the frame where its user gives none
EXAMPLE = FOLDER / "example.h5"  # a shard of one simulated sentence: sound, text, reference and true frames
