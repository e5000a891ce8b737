"""From recordings, real or simulated, to shards with embeddings: where corpus and speech meet."""
