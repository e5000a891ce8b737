"""Shards, the files that a corpus is kept in: read, written, found, checked; `schema` says what is in one."""

from wav2uti.corpus.shards.find import find_shards
from wav2uti.corpus.shards.reader import RecordingInfo, Shard
from wav2uti.corpus.shards.schema import AUDIO_SCALE, CHUNK_FRAMES, READABLE, REMEDY, SCHEMA, VERSION

__all__ = [
    "AUDIO_SCALE",
    "CHUNK_FRAMES",
    "READABLE",
    "REMEDY",
    "SCHEMA",
    "VERSION",
    "RecordingInfo",
    "Shard",
    "find_shards",
]
