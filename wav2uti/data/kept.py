"""`Kept`: what clips of one recording share, kept in memory up to so many bytes."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from torch import Tensor


class Kept:
    """Tensors by key; beyond the limit the least recently used are dropped. Pickles empty.

    A tensor that was kept is handed out again and again: nobody may write into it.

    >>> import torch
    >>> kept = Kept(limit=20)
    >>> for name in ("a", "b", "c"):
    ...     kept.put(name, (torch.zeros(2),))  # 8 bytes each
    >>> kept.get("a") is None, kept.get("b") is None, kept.nbytes
    (True, False, 16)
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nbytes = 0
        self._values: OrderedDict[Hashable, tuple[Tensor, ...]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["limit"])  # type: ignore[misc]

    def get(self, key: Hashable) -> tuple[Tensor, ...] | None:
        """What was put there, or None where it was never put or has been dropped."""
        found = self._values.get(key)
        if found is not None:
            self._values.move_to_end(key)
        return found

    def put(self, key: Hashable, values: tuple[Tensor, ...]) -> None:
        """Keep tensors; those larger than the limit by themselves are not kept."""
        size = _nbytes(values)
        if key in self._values or size > self.limit:
            return
        self._values[key] = values
        self.nbytes += size
        while self.nbytes > self.limit:
            self.nbytes -= _nbytes(self._values.popitem(last=False)[1])


def _nbytes(values: tuple[Tensor, ...]) -> int:
    """Memory of tensors, each with its whole storage: a view keeps what it is a view of."""
    return sum(value.untyped_storage().nbytes() for value in values)
