"""Textual embeddings of what was said: one vector for each token."""

import hashlib
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wav2uti.errors import InputError
from wav2uti.speech.hub import Pretrained, WithoutWeights, model_name
from wav2uti.speech.spec import built

MOST_CHARACTERS = 400_000  # of a text: six hours of fast speech


def check_text(text: str) -> None:
    """Raise an InputError where a text is longer than any recording's can be: every letter takes its memory."""
    if len(text) > MOST_CHARACTERS:
        raise InputError(
            f"The text {text[:40]!r}... has {len(text)} characters, more than the {MOST_CHARACTERS} that can be said "
            "in a recording: give the words of this one."
        )


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

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """The same for several texts, which a model with weights embeds faster together."""
        return [self.encode(text) for text in texts]

    @abstractmethod
    def spans(self, text: str) -> NDArray[np.int64]:
        """What each token stands for: characters [start, end) of the text in NFC; int64 (L, 2)."""

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
        codes = [self._code(character) for character, _, _ in self._characters(text)]
        return np.stack(codes) if codes else np.zeros((0, self._width), dtype=np.float32)

    def spans(self, text: str) -> NDArray[np.int64]:
        spans = [(start, end) for _, start, end in self._characters(text)]
        return np.array(spans, dtype=np.int64).reshape(-1, 2)

    @staticmethod
    def _characters(text: str) -> list[tuple[str, int, int]]:
        """The folded characters, each with the characters [start, end) of the text in NFC that it comes from."""
        text = unicodedata.normalize("NFC", text)
        characters: list[tuple[str, int, int]] = []
        start = 0
        while start < len(text):
            end = start + 1
            if text[start].isspace():
                while end < len(text) and text[end].isspace():
                    end += 1
                if characters and end < len(text):
                    characters.append((" ", start, end))
            else:
                # A letter with its combining marks: folding can change their number and let them be composed.
                while end < len(text) and unicodedata.combining(text[end]):
                    end += 1
                folded = unicodedata.normalize("NFC", text[start:end].casefold())
                if len(folded) == end - start:
                    characters += [(letter, start + k, start + k + 1) for k, letter in enumerate(folded)]
                else:
                    characters += [(letter, start, end) for letter in folded]
            start = end
        return characters

    def _code(self, character: str) -> NDArray[np.float32]:
        """float32 (width,) of -1 and 1."""
        digest = hashlib.shake_256(f"U+{ord(character):06X}".encode()).digest(-(-self._width // 8))
        bits = np.unpackbits(np.frombuffer(digest, dtype=np.uint8))[: self._width]
        return 2 * bits.astype(np.float32) - 1


class Bert(Pretrained, TextEncoder):
    """Last hidden states of a transformers text model, without its special tokens ([CLS], [SEP]).

    Any encoder that `AutoModel` loads and that has a fast tokenizer: BERT, RoBERTa, DistilBERT, XLM-R and so on. A
    text longer than the model's positions (512 for BERT) is embedded in consecutive parts.

    Args:
        model: hub id or local folder; its language has to be that of the text.
        revision: commit, branch or tag of a model on the hub.
        device: where the model runs.
    """

    _BATCH = 8192  # tokens that run together, padding counted

    def __init__(self, model: str = "bert-base-chinese", revision: str | None = None, device: str = "cpu") -> None:
        super().__init__(model, revision)
        self.device = device

    @property
    def name(self) -> str:
        return model_name(self.model)

    @property
    def width(self) -> int:
        return int(self._config.hidden_size)

    def spec(self) -> dict[str, Any]:
        return {"class": "Bert", "args": self._pinned_args()}

    def encode(self, text: str) -> NDArray[np.float32]:
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        parts: list[tuple[list[int], NDArray[np.bool_]]] = []  # tokens, and which of them stand for text
        owners: list[int] = []
        for owner, text in enumerate(texts):
            if text.strip():
                found = self._parts(text)
                parts += found
                owners += [owner] * len(found)
        states: list[NDArray[np.float32]] = [np.zeros(0, dtype=np.float32)] * len(parts)
        order = sorted(range(len(parts)), key=lambda part: -len(parts[part][0]))  # alike in length: little padding
        while order:
            size = max(1, self._BATCH // max(len(parts[order[0]][0]), 1))
            batch, order = order[:size], order[size:]
            for part, hidden in zip(batch, self._run([parts[part][0] for part in batch]), strict=True):
                states[part] = hidden[parts[part][1]]
        results: list[list[NDArray[np.float32]]] = [[np.zeros((0, self.width), dtype=np.float32)] for _ in texts]
        for owner, state in zip(owners, states, strict=True):
            results[owner].append(state)
        return [np.concatenate(result) for result in results]

    def spans(self, text: str) -> NDArray[np.int64]:
        if not text.strip():
            return np.zeros((0, 2), dtype=np.int64)
        found = self._tokenizer(_readable(text), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return np.array(found["offset_mapping"], dtype=np.int64).reshape(-1, 2)

    def _parts(self, text: str) -> list[tuple[list[int], NDArray[np.bool_]]]:
        """Tokens of a text in parts that the model has positions for, special tokens in each."""
        parts = self._tokenizer(
            _readable(text),
            truncation=True,
            max_length=self._positions,
            return_overflowing_tokens=True,
            return_special_tokens_mask=True,
        )
        masks = (np.asarray(mask) == 0 for mask in parts["special_tokens_mask"])
        return list(zip(parts["input_ids"], masks, strict=True))

    def _run(self, parts: Sequence[list[int]]) -> list[NDArray[np.float32]]:
        """Hidden states of parts together, padded on the right with what the attention leaves out."""
        import torch

        longest = max(map(len, parts))
        ids = torch.full((len(parts), longest), self._tokenizer.pad_token_id or 0)
        mask = torch.zeros((len(parts), longest), dtype=torch.long)
        for row, part in enumerate(parts):
            ids[row, : len(part)] = torch.tensor(part)
            mask[row, : len(part)] = 1
        with torch.inference_mode():
            model = self._loaded.to(self.device)
            hidden = model(input_ids=ids.to(self.device), attention_mask=mask.to(self.device)).last_hidden_state
        states = hidden.float().cpu().numpy()
        return [states[row, : len(part)] for row, part in enumerate(parts)]

    @cached_property
    def _positions(self) -> int:
        """The largest number of tokens that the model reads at a time, special ones included."""
        limit = int(getattr(self._config, "max_position_embeddings", 512))
        for name, module in self._loaded.named_modules():
            if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
                limit -= module.padding_idx + 1  # RoBERTa counts positions from behind the padding's
        stated = self._tokenizer.model_max_length  # 1e30 where nobody has said
        if not isinstance(stated, int | float) or not min(stated, limit) >= 3:
            raise InputError(
                f"The model {self.model} states that it reads {str(stated)[:20]!r} tokens at a time, and a word with "
                "two special ones takes three: give another model, or correct its tokenizer_config.json."
            )
        return int(min(stated, limit))

    @cached_property
    def _config(self) -> Any:
        from transformers import AutoConfig

        config = self._load(AutoConfig.from_pretrained)
        if config.is_encoder_decoder or not hasattr(config, "hidden_size"):
            raise InputError(
                f"{self.model} is a {config.model_type} model, not an encoder of text: give one like bert-base-chinese."
            )
        return config

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        _ = self._config  # another kind of model is named before what its tokenizer lacks
        tokenizer = self._load(AutoTokenizer.from_pretrained)
        if not tokenizer.is_fast:
            raise InputError(
                f"The model {self.model} has no fast tokenizer (tokenizer.json), so nobody knows which characters a "
                "token stands for: give another model."
            )
        return tokenizer

    @cached_property
    def _loaded(self) -> Any:
        import torch
        from transformers import AutoModel

        _ = self._config
        model, found = self._load(
            AutoModel.from_pretrained, dtype=torch.float32, weights_only=True, output_loading_info=True
        )
        # RoBERTa's files have no pooler, and the last hidden states need none.
        missing = sorted(key for key in found["missing_keys"] if not key.startswith("pooler."))
        if missing:
            raise InputError(
                f"The files of the model {self.model} lack {len(missing)} of its weights, {missing[0]} for one: "
                f"give a model whose files are of the type that its config.json names."
            )
        return model.eval()


def _readable(text: str) -> str:
    """A text in NFC without halves of surrogate pairs, which no tokenizer takes; as many characters."""
    return re.sub("[\ud800-\udfff]", "\ufffd", unicodedata.normalize("NFC", text))


_ENCODERS: dict[str, type[TextEncoder]] = {"CharacterCodes": CharacterCodes, "Bert": Bert}


def build_textual(spec: dict[str, Any], device: str = "cpu") -> TextEncoder:
    """The encoder that `spec` describes, to run on `device`: of this file, or of a package that its user trusts.

    >>> build_textual({"class": "CharacterCodes", "args": {"width": 8}}).encode("a").shape
    (1, 8)
    """
    encoder = built(spec, _ENCODERS, TextEncoder, "text encoder")  # type: ignore[type-abstract]
    encoder.device = device
    return encoder
