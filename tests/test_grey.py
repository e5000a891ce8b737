"""The two scales of a picture are inverse to each other."""

import numpy as np
import torch

from wav2uti.grey import to_grey, to_unit


def test_every_grey_value_comes_back() -> None:
    frames = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert to_unit(frames).aminmax() == (-1, 1)
    np.testing.assert_array_equal(to_grey(to_unit(frames)).numpy(), frames)


def test_what_lies_outside_is_cut_off() -> None:
    assert to_grey(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]
