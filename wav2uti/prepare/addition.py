"""Embeddings added to one shard: first a part for each recording, then a new file in the place of the old one."""

import json
import os
import shutil
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wav2uti.clock import SAMPLE_RATE
from wav2uti.corpus.recording import Interval
from wav2uti.corpus.shards import RecordingInfo, Shard
from wav2uti.corpus.shards.writer import ShardWriter, describe_encoders, plain_intervals, to_half
from wav2uti.errors import InputError, OutOfSpace
from wav2uti.prepare.part import Part, Report, part_name, read_part
from wav2uti.speech.acoustic import AcousticEncoder
from wav2uti.speech.textual import TextEncoder
from wav2uti.speech.timing import token_times
from wav2uti.speech.transcribe import Transcriber

_SAID = ("text", "language", "words")  # attributes that a transcript gives


@dataclass(frozen=True)
class Encoders:
    """What is added; None where nothing of the kind is."""

    acoustic: AcousticEncoder | None
    text: TextEncoder | None
    transcriber: Transcriber | None

    def described(self) -> dict[str, dict[str, dict[str, Any]]]:
        """As a shard's attribute `encoders` names them."""
        encoders = describe_encoders(
            [self.acoustic] if self.acoustic else [],
            [self.text] if self.text else [],
            self.transcriber.spec() if self.transcriber else None,
        )
        described: dict[str, dict[str, dict[str, Any]]] = json.loads(json.dumps(encoders))
        return described

    def missing(self, shard: Shard, replacing: bool) -> "Encoders":
        """Those whose embeddings the shard does not hold. Raises InputError where it holds others of a name."""
        missing = self
        stored = shard.encoders
        for kind, encoders in self.described().items():
            for name, about in encoders.items():
                there = stored[kind].get(name)
                if there is None:
                    continue
                if all(there.get(key) == about[key] for key in ("spec", "transcriber") if key in about):
                    missing = replace(missing, **{kind: None})
                elif not replacing:
                    raise InputError(
                        f"{shard.file} holds {kind} embeddings {name!r} made with {json.dumps(_settings(there))}, not "
                        f"with {json.dumps(_settings(about))}; add --replace true to put the new ones in their place."
                    )
        return missing


class Addition:
    """A shard and the encoders whose embeddings it gets.

    Args:
        shard: that gets them.
        encoders: of which it has no embeddings, or others, which are then replaced.
        folder: for the parts.
    """

    def __init__(self, shard: Shard, encoders: Encoders, folder: Path) -> None:
        self.shard, self.encoders, self.folder = shard, encoders, folder
        self.infos = [shard.info(id) for id in shard.ids]
        self.described = encoders.described()
        # A part fits this very file and these encoders.
        about = shard.file.stat()
        self._recipe = json.dumps([about.st_size, about.st_mtime_ns, self.described], sort_keys=True)

    def find_parts(self) -> list[RecordingInfo]:
        """Recordings that are embedded already; what an earlier command left and does not fit is removed."""
        names = {part_name(info.id): info for info in self.infos}
        found = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            part = read_part(path)
            if path.name in names and part is not None and part.recipe == self._recipe:
                found.append(names[path.name])
            elif path.is_dir():
                shutil.rmtree(path)
        return found

    def embed(self, infos: Sequence[RecordingInfo]) -> None:
        """Embed some recordings at once, each into a part.

        Raises:
            InputError: the shard is damaged, or an encoder gave what cannot be stored.
            OutOfSpace: a part cannot be written.
        """
        acoustic, text = self.encoders.acoustic, self.encoders.text
        said = [self._said(info) for info in infos] if text else []
        tokens = text.encode_batch([attributes["text"] for attributes in said]) if text else []
        vectors = self._vectors(acoustic, infos) if acoustic else []
        for place, info in enumerate(infos):
            with Part(self.folder / part_name(info.id)) as part:
                if acoustic:
                    _store_acoustic(part, acoustic, vectors[place], info)
                if text:
                    part.attributes = said[place]
                    _store_text(part, text, tokens[place], info.id)
                part.finish(self._recipe, _report(info, part), {})

    def _vectors(
        self, encoder: AcousticEncoder, infos: Sequence[RecordingInfo]
    ) -> Sequence[Iterable[NDArray[np.float32]]]:
        """Acoustic embeddings of each recording, in blocks; those of a single one are made as they are taken."""
        sounds = [self.shard.audio(info.id) for info in infos]
        if len(infos) == 1:
            return [encoder.encode_blocks(sounds[0], infos[0].frames)]
        return [[vectors] for vectors in encoder.encode_batch(sounds, [info.frames for info in infos])]

    def _said(self, info: RecordingInfo) -> dict[str, str]:
        """Attributes of a recording that say what was said; where it has no text, what the transcriber heard."""
        words = self.shard.words(info.id)
        text, language = info.text, info.language
        if self.encoders.transcriber is not None and not text.strip():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                heard = self.encoders.transcriber.transcribe(self.shard.audio(info.id))
            for warning in caught:
                if warning.category is UserWarning:
                    warnings.warn(f"{info.id}: {warning.message}", UserWarning, stacklevel=2)
            text, language, words = heard.text, language or heard.language, words or heard.words
        return {"text": text, "language": language, "words": json.dumps(plain_intervals(words))}

    def write(self) -> None:
        """Put the embeddings into the shard: a new file with all that was in it takes its place.

        Raises:
            InputError: the shard is damaged.
            OutOfSpace: the new file cannot be written.
        """
        path, new = self.shard.file, self.folder / "whole.h5"
        stored = self.shard.encoders
        encoders = {kind: encoders | self.described.get(kind, {}) for kind, encoders in stored.items()}
        try:
            with ShardWriter(new, encoders, self.shard.settings) as writer:
                for info in self.infos:
                    part = read_part(self.folder / part_name(info.id))
                    if part is None:
                        raise InputError(f"{self.folder} has lost the part of {info.id!r}: run the same command again.")
                    said = {name: part.attributes[name] for name in _SAID if name in part.attributes}
                    writer.copy(path, info.id, said, part.arrays)
            self.shard.close()
            with new.open("rb") as file:
                os.fsync(file.fileno())  # the old file is the only other copy
            shutil.copymode(path, new)
            new.replace(path)
        except OSError as error:
            raise OutOfSpace(f"{path} cannot be replaced ({error.strerror}): check the folder.") from error
        finally:
            new.unlink(missing_ok=True)  # what a writer that was stopped keeps


def _store_acoustic(
    part: Part, encoder: AcousticEncoder, blocks: Iterable[NDArray[np.float32]], info: RecordingInfo
) -> None:
    """Add acoustic embeddings, as `to_half` checks them, to a part."""
    count = 0
    for block in blocks:
        part.append(f"acoustic/{encoder.name}", to_half(block, encoder.name, (len(block), encoder.width), info.id))
        count += len(block)
    if count != info.frames:
        raise InputError(
            f"Recording {info.id!r}: the encoder {encoder.name!r} gave {count} vectors for {info.frames} frames; "
            "correct the encoder."
        )


def _store_text(part: Part, encoder: TextEncoder, tokens: NDArray[np.float32], id: str) -> None:
    """Add textual embeddings, and where words have times those of the tokens, to a part that knows what was said."""
    part.append(f"text/{encoder.name}", to_half(tokens, encoder.name, (len(tokens), encoder.width), id))
    text = part.attributes["text"]
    words = [Interval(*word) for word in json.loads(part.attributes["words"])]
    if words:
        part.append(f"times/{encoder.name}", token_times(text, encoder.spans(text), words))


def _report(info: RecordingInfo, part: Part) -> Report:
    return Report(
        id=info.id,
        speaker=info.speaker,
        task=info.task,
        text=part.attributes.get("text", info.text),
        language=part.attributes.get("language", info.language),
        split=info.split,
        frames=info.frames,
        kind="stored",
        sound_rate=SAMPLE_RATE,
        quality={},
        warnings=[],
        bytes=part.bytes,
    )


def _settings(about: dict[str, Any]) -> dict[str, Any]:
    """What makes an encoder that a shard names."""
    return {key: about[key] for key in ("spec", "transcriber") if key in about}
