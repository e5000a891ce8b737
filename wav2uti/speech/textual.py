"""Textual embeddings of what was said: one vector for each token."""

import hashlib
import unicodedata
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wav2uti.errors import InputError
from wav2uti.speech.hub import WithoutWeights, load_pretrained, model_name


class TextEncoder(WithoutWeights, ABC):
    """Text to one vector per token.

    Attributes:
        device: where an encoder with weights runs; not part of its `spec`.
    """

    device: str = "cpu"

    @property
    @abstractmethod
    def name(self) -> str:
        """Key of these embeddings in a shard."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Length of one vector."""

    @abstractmethod
    def encode(self, text: str) -> NDArray[np.float32]:
        """Embed a text as float32 (L, width); L is 0 for an empty one."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Class and arguments as plain JSON, from which `build_textual` makes the same encoder."""


class CharacterCodes(TextEncoder):
    """A fixed code of random signs for each character; needs no weights and knows no language.

    The signs are bits of SHAKE-256 of the character: variance 1, nearly orthogonal, the same on every machine.
    Letter case and the way an accent is encoded make no difference; runs of white space count as one space.
    """

    def __init__(self, width: int = 64) -> None:
        if not 1 <= width <= 4096:
            raise InputError(f"A character code of width {width} is outside 1 to 4096: set `width` within.")
        self._width = width

    @property
    def name(self) -> str:
        return f"characters{self._width}"

    @property
    def width(self) -> int:
        return self._width

    def spec(self) -> dict[str, Any]:
        return {"class": "CharacterCodes", "args": {"width": self._width}}

    def encode(self, text: str) -> NDArray[np.float32]:
        characters = unicodedata.normalize("NFC", " ".join(text.casefold().split()))
        codes = [self._code(character) for character in characters]
        return np.stack(codes) if codes else np.zeros((0, self._width), dtype=np.float32)

    def _code(self, character: str) -> NDArray[np.float32]:
        """float32 (width,) of -1 and 1."""
        digest = hashlib.shake_256(f"U+{ord(character):06X}".encode()).digest(-(-self._width // 8))
        bits = np.unpackbits(np.frombuffer(digest, dtype=np.uint8))[: self._width]
        return 2 * bits.astype(np.float32) - 1


class Bert(TextEncoder):
    """Last hidden states of a BERT-like transformers model, without its special tokens ([CLS], [SEP]).

    A text longer than the model's positions (512 for BERT) is embedded in consecutive parts.

    Args:
        model: hub id or local folder; its language has to be that of the text.
        device: where the model runs.
    """

    def __init__(self, model: str = "bert-base-chinese", device: str = "cpu") -> None:
        self.model, self.device = model, device

    @property
    def name(self) -> str:
        return model_name(self.model)

    @property
    def width(self) -> int:
        return int(self._config.hidden_size)

    def spec(self) -> dict[str, Any]:
        return {"class": "Bert", "args": {"model": self.model}}

    def encode(self, text: str) -> NDArray[np.float32]:
        if not text.strip():
            return np.zeros((0, self.width), dtype=np.float32)
        import torch

        parts = self._tokenizer(
            text,
            truncation=True,
            max_length=self._config.max_position_embeddings,
            return_overflowing_tokens=True,
            return_special_tokens_mask=True,
        )
        model = self._loaded.to(self.device)
        states = []
        for ids, special in zip(parts["input_ids"], parts["special_tokens_mask"], strict=True):
            with torch.inference_mode():
                hidden = model(input_ids=torch.tensor([ids], device=self.device)).last_hidden_state[0]
            states.append(hidden.float().cpu().numpy()[np.asarray(special) == 0])
        return np.concatenate(states)

    @cached_property
    def _config(self) -> Any:
        from transformers import AutoConfig

        return load_pretrained(AutoConfig.from_pretrained, self.model)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return load_pretrained(AutoTokenizer.from_pretrained, self.model)

    @cached_property
    def _loaded(self) -> Any:
        import torch
        from transformers import AutoModel

        return load_pretrained(AutoModel.from_pretrained, self.model, dtype=torch.float32).eval()


_ENCODERS: dict[str, type[TextEncoder]] = {"CharacterCodes": CharacterCodes, "Bert": Bert}


def build_textual(spec: dict[str, Any], device: str = "cpu") -> TextEncoder:
    """The encoder that `spec` describes, to run on `device`; only classes of this file.

    >>> build_textual({"class": "CharacterCodes", "args": {"width": 8}}).encode("a").shape
    (1, 8)
    """
    try:
        encoder = _ENCODERS[spec["class"]](**spec.get("args", {}))
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{spec!r} describes no text encoder: give a class of {', '.join(_ENCODERS)} with its arguments."
        ) from error
    encoder.device = device
    return encoder
