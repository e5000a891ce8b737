"""What the gallery of a training wrote, read back."""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from wav2uti.corpus.shards import Shard, find_shards
from wav2uti.video.side_by_side import GAP
from wav2uti.video.write import SHORT_SIDE


def decoded(path: Path) -> NDArray[np.uint8]:
    """The pictures of a video, grey (T, height, width)."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])


def halves(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Left and right picture of a video of square frames, without the words below."""
    pictures = decoded(path)
    assert pictures.shape[2] == 2 * SHORT_SIDE + GAP
    shown = pictures[:, :SHORT_SIDE]
    return shown[:, :, :SHORT_SIDE], shown[:, :, SHORT_SIDE + GAP :]


def shrunk(pictures: NDArray[np.uint8], size: int) -> NDArray[np.float64]:
    """Enlarged frames (T, H, W) in their old size (T, size, size), averaged."""
    frames, side, _ = pictures.shape
    return pictures.reshape(frames, size, side // size, size, side // size).mean((2, 4), dtype=np.float64)


def clip_of(path: Path, corpus: Path, frames: int) -> NDArray[np.uint8]:
    """The corpus's own frames of the clip that a file is of."""
    id, _, first = path.stem.rpartition("_")
    for shard in map(Shard, find_shards(corpus)):
        if id in shard.ids:
            return shard.frames(id, int(first), int(first) + frames)
    raise AssertionError(f"{path} is of no recording in {corpus}")
