"""The model in the box: what `wav2uti predict` and the web page draw with where nobody has trained one yet.

It was trained on SIMULATED tongues and shows how the system works, not how anybody's tongue moves. `FOLDER` is an
exported model like any other (`tasks.exported`); `benchmarks/shipped.py` made all that lies here.
"""

from pathlib import Path

MODEL = "simulated-64"  # its name, wherever a checkpoint can be given
FOLDER = Path(__file__).parent / MODEL
REFERENCE = FOLDER / "reference.png"  # a frame of a simulated speaker, for users without one of their own
EXAMPLE = Path(__file__).parent / "example.h5"  # a shard with one sentence of a simulated speaker, never trained on
