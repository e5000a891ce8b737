"""Raw ultrasound: `name.ult`, uint8 without a header, in C order (frame, vector, pixel)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2uti.corpus.fan import draw_fan
from wav2uti.corpus.formats.param import Metadata
from wav2uti.corpus.raw import Block, Picture
from wav2uti.errors import InputError
from wav2uti.files import check_ordinary

_BLOCK = 256  # raw frames read at a time
_BLOCK_BYTES = 1 << 25  # fewer of them where a frame is large: 256 of TaL's take 14 MB


class ScanlinePicture(Picture):
    """The frames of an `.ult`.

    Raw frame i stands at first_time + i / rate on the clock of the sound, or at the times given.

    Args:
        path: of the `.ult`.
        metadata: what the file beside it says.
        metadata_path: that file, for messages.
        size: side of the drawn square in pixels.
        times: increasing times of all frames in s, where they are known exactly; None for the constant rate.
        offset: seconds added to the times.

    Raises:
        InputError: as `count_frames`.
    """

    def __init__(
        self,
        path: Path,
        metadata: Metadata,
        metadata_path: Path,
        size: int,
        times: NDArray[np.float64] | None = None,
        offset: float = 0.0,
    ) -> None:
        self.path, self.metadata, self.size, self.offset = path, metadata, size, offset
        self.count = count_frames(path, metadata, metadata_path)
        self.exact_times = times
        geometry = metadata.geometry
        self.kind = f"{geometry.vectors} x {geometry.pixels} scanlines"
        self.period = 1 / metadata.rate

    def blocks(self) -> Iterator[Block]:
        geometry = self.metadata.geometry
        frame = geometry.vectors * geometry.pixels
        step = max(min(_BLOCK, _BLOCK_BYTES // frame), 1)
        with self.path.open("rb") as file:
            for start in range(0, self.count, step):
                stop = min(start + step, self.count)
                content = file.read((stop - start) * frame)
                if len(content) < (stop - start) * frame:
                    raise InputError(f"{self.path} became shorter while it was read: copy it again.")
                frames = np.frombuffer(content, dtype=np.uint8)
                yield self._times(start, stop), frames.reshape(-1, geometry.vectors, geometry.pixels)

    def draw(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return draw_fan(frames, self.metadata.geometry, self.size)

    def _times(self, start: int, stop: int) -> NDArray[np.float64]:
        """Times of the frames [start, stop) in s."""
        if self.exact_times is not None:
            return self.exact_times[start:stop] + self.offset
        times: NDArray[np.float64] = self.metadata.first_time + np.arange(start, stop) / self.metadata.rate
        return times + self.offset


def count_frames(path: Path, metadata: Metadata, metadata_path: Path) -> int:
    """Number of raw frames of an `.ult`.

    Raises:
        InputError: no such file, an empty one, or one whose size is no whole number of frames.
    """
    check_ordinary(path)
    size, geometry = path.stat().st_size, metadata.geometry
    frames, rest = divmod(size, geometry.vectors * geometry.pixels)
    if size == 0:
        raise InputError(f"{path} is empty (0 bytes): copy it again.")
    if rest:
        raise InputError(
            f"{path} has {size} bytes, no whole number of frames of {geometry.vectors} x {geometry.pixels} as "
            f"{metadata_path.name} states them: copy both files again."
        )
    return frames
