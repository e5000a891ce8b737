"""Seconds of speech embedded in a second: batches of like length against one recording at a time, in one run.

    python benchmarks/embed_cost.py ../shared/data/speech --whisper ../shared/data/weights/whisper-tiny.en \
        --output benchmarks/results/embed_cost.json

The encoder of Whisper with its real weights, and a model of the size of wav2vec2-base with random ones (speed does not
depend on what they are). The recordings are stretches of varied length, 1 to 12 s as in a speech corpus, cut from all
sound files of the folder; their number is the same in each run of the same command.

- "one by one": `encode`, a recording at a time;
- "batched": `encode_batch` on batches as `wav2uti embed` makes them, recordings of like length together;
- "batched as they come": `encode_batch` on batches in the order of the recordings.
"""

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measure import measure
from numpy.typing import NDArray
from outcome import publish

from wav2uti.clock import SAMPLE_RATE, frames_in
from wav2uti.errors import InputError
from wav2uti.prepare.embed import by_length
from wav2uti.speech.acoustic import AcousticEncoder, Wav2Vec2, WhisperEncoder
from wav2uti.speech.audio import read_speech

SHORTEST, LONGEST = 1.0, 12.0  # s


def recordings(folder: Path, count: int) -> list[NDArray[np.float32]]:
    """Stretches of speech of varied length; the same for the same folder and number."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".wav", ".flac", ".mp3"))
    if not paths:
        raise InputError(f"There are no sound files in {folder}: give a folder of speech.")
    speech = np.concatenate([read_speech(path) for path in paths])
    speech = np.tile(speech, int(LONGEST * SAMPLE_RATE) // len(speech) + 1)
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.uniform(np.log(SHORTEST), np.log(LONGEST), count))
    cut = []
    for length in (lengths * SAMPLE_RATE).astype(int):
        start = rng.integers(0, len(speech) - length + 1)
        cut.append(speech[start : start + length])
    return cut


def random_wav2vec2(folder: Path) -> Wav2Vec2:
    """A model of the size of wav2vec2-base with random weights."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.manual_seed(0)
    Wav2Vec2Model(Wav2Vec2Config()).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return Wav2Vec2(str(folder))


def singly(encoder: AcousticEncoder, sounds: Sequence[NDArray[np.float32]]) -> None:
    """Embed each recording alone."""
    for sound in sounds:
        encoder.encode(sound, frames_in(len(sound)))


def in_batches(encoder: AcousticEncoder, sounds: Sequence[NDArray[np.float32]], batches: list[list[int]]) -> None:
    """Embed the recordings at the places of each batch."""
    for batch in batches:
        encoder.encode_batch([sounds[k] for k in batch], [frames_in(len(sounds[k])) for k in batch])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, help="folder of sound files")
    parser.add_argument("--whisper", required=True, help="folder with the weights of a Whisper model")
    parser.add_argument("--recordings", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    args = parser.parse_args()

    sounds = recordings(args.speech, args.recordings)
    seconds = sum(map(len, sounds)) / SAMPLE_RATE
    frames = [frames_in(len(sound)) for sound in sounds]
    places = list(range(len(sounds)))
    as_they_come = [places[start : start + args.batch] for start in range(0, len(places), args.batch)]
    result: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        encoders: dict[str, AcousticEncoder] = {
            Path(args.whisper).name: WhisperEncoder(args.whisper),
            "wav2vec2-base size, random weights": random_wav2vec2(Path(folder)),
        }
        for name, encoder in encoders.items():
            encoder.device = args.device
            result[name] = measure(
                {
                    "one by one": partial(singly, encoder, sounds),
                    "batched": partial(in_batches, encoder, sounds, by_length(frames, args.batch)),
                    "batched as they come": partial(in_batches, encoder, sounds, as_they_come),
                },
                seconds,
                args.repeats,
            )
    gains = {name: round(speeds["batched"] / speeds["one by one"], 2) for name, speeds in result.items()}
    report = {
        "what": "seconds of speech embedded in a second; gain is batched over one by one",
        "seconds_per_second": result,
        "gain": gains,
        "recordings": len(sounds),
        "seconds": round(seconds, 1),
        "batch": args.batch,
        "device": torch.cuda.get_device_name() if args.device.startswith("cuda") else "cpu",
        "threads": torch.get_num_threads(),
        "repeats": args.repeats,
    }
    publish(report, args.output)


if __name__ == "__main__":
    main()
