"""From recordings, real or simulated, to shards with embeddings: where corpus and speech meet."""

from wav2uti.prepare.commands import prepare, simulate

__all__ = ["prepare", "simulate"]
