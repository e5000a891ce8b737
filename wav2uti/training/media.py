"""Videos and contact sheets to the dashboards of a run.

W&B takes the files as they are. TensorBoard plays no mp4, but a GIF that is given as a picture moves: it has one of the
same frames, without the words, which stand in the sheet. Other loggers keep no pictures: there are the files.
"""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from numpy.typing import NDArray
from PIL import Image

GIF_SIDE = 128  # least height of a GIF in pixels


class Clip(NamedTuple):
    """A clip that was drawn: frames uint8 (T, H, W) and, where a tongue was looked for, contours (T, K, 2)."""

    id: str
    real: NDArray[np.uint8]
    generated: NDArray[np.uint8]
    real_contour: NDArray[np.float32] | None
    generated_contour: NDArray[np.float32] | None


class Shown(NamedTuple):
    """What is shown of a clip.

    Attributes:
        video: mp4, the real frames on the left and the generated ones on the right.
        sheet: PNG, frames of both with contours.
        clip: its frames.
        rate: frames a second that the video is played at.
        caption: what it is, in words.
    """

    video: Path
    sheet: Path
    clip: Clip
    rate: Fraction
    caption: str


def log_media(logger: Logger, shown: Sequence[Shown], step: int) -> None:
    """Give clips to a logger, as `gallery/videos` and `gallery/sheets`, if it is one that keeps pictures.

    Args:
        logger: of the run, of any kind.
        shown: clips with their files.
        step: of the log's row.
    """
    if isinstance(logger, WandbLogger):
        import wandb

        captions = [one.caption for one in shown]
        videos = [wandb.Video(str(s.video), caption=c, format="mp4") for s, c in zip(shown, captions, strict=True)]
        sheets = [wandb.Image(str(s.sheet), caption=c) for s, c in zip(shown, captions, strict=True)]
        logger.log_metrics(cast(Any, {"gallery/videos": videos, "gallery/sheets": sheets}), step)
    elif isinstance(logger, TensorBoardLogger):
        for one in shown:
            name = one.video.stem
            _add_picture(logger, f"gallery/videos/{name}", moving([one.clip.real, one.clip.generated], one.rate), step)
            _add_picture(logger, f"gallery/sheets/{name}", one.sheet.read_bytes(), step)


def moving(videos: Sequence[NDArray[np.uint8]], rate: Fraction) -> bytes:
    """A GIF of videos (T, H, W) beside each other, which repeats; grey values as they are."""
    height = videos[0].shape[1]
    scale = -(-GIF_SIDE // height)
    gap = np.zeros((*videos[0].shape[:2], 2), dtype=np.uint8)
    joined = np.concatenate([part for video in videos for part in (gap, video)][1:], axis=2)
    pictures = [Image.fromarray(np.kron(frame, np.ones((scale, scale), dtype=np.uint8))) for frame in joined]
    file = io.BytesIO()
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=float(1000 / rate), loop=0)
    return file.getvalue()


def _add_picture(logger: TensorBoardLogger, tag: str, content: bytes, step: int) -> None:
    """An encoded picture as it is: `add_image` would make a still PNG of it."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = Image.open(io.BytesIO(content)).size
    picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
    writer = cast(Any, logger.experiment)._get_file_writer()
    writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=picture)]), step)
