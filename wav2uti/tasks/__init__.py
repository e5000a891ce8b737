"""The models under Lightning.

Whoever imports one file of them imports all: Lightning builds from a checkpoint only classes that it knows, and a
checkpoint may name any.
"""

from wav2uti.tasks import consistency  # noqa: F401 (it brings the others along)
