"""Shards: HDF5 files of recordings and their embeddings, schema version 2.

    /                       attributes: schema "wav2uti-shard", version 2, created_by, simulated, digest,
                            encoders (JSON: kind -> name -> {"spec", "width"}), settings (JSON, of the command)
    /recordings/<id>        attributes: speaker, task, text, language, source, simulated, phones (JSON), digest (see
                            `attributes`), contents (JSON: type, shape and digest of each dataset, see `contents`);
                            where they are known: mm_per_pixel, split, words (JSON), quality (JSON: figures and
                            warnings of the checks), origin (JSON: layout, options and files it was read from)
        frames              uint8 (T, H, W), in chunks of 16 frames, not compressed: a random clip costs two chunks
        audio               int16 (N,), 16 kHz
        acoustic/<encoder>  float16 (T, D_a), at the frame times, in chunks of 16 frames
        text/<encoder>      float16 (L, D_t)
        times/<encoder>     float32 (L, 2), start and end of each token in s from frame 0, NaN where it is not known;
                            only where words have times
        contour             float32 (T, K, 2), pixels, where the corpus has one
        reference           uint8 (H, W), where the corpus has one

Every dataset carries a Fletcher-32 checksum, so that a damaged byte is reported and never trained on. Version 1, which
is still read, had no digests and no contents, and text of variable length, in which a damaged byte goes unnoticed.
"""

SCHEMA = "wav2uti-shard"
VERSION = 2
READABLE = (1, 2)
CHUNK_FRAMES = 16
AUDIO_SCALE = 32768  # of int16; soundfile reads 16-bit files by the same number, so such sound comes back exactly
REMEDY = "prepare the corpus again with this version (wav2uti prepare or wav2uti simulate, into an empty folder)"
