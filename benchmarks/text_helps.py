"""Does text help where it should?

On the SIMULATED corpus the fusion of sound and text is trained with a linear readout of the tongue contour, and judged
by R2 on speakers that it has never met. A contour is first centred on its speaker's mean, since neither sound nor text
tells where a probe was held. What the tongue does in a closure is hardly heard; text tells it. So sound with text must
beat sound alone, above all during stops, and sound with another recording's text must not.

Mind: the settings of the training were chosen while looking at speakers 30 to 33, and the attention's bias by distance
while looking at those and at 4 to 7; scores on them flatter. The default speakers, 34 to 41, were set before anything
had been measured on them: choose nothing by their scores. What is to be tuned is tuned on others:

    python benchmarks/text_helps.py --output benchmarks/results/text_helps.json
    python benchmarks/text_helps.py --test-speakers 30 31 32 33
"""

import argparse
import os
import statistics
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from outcome import publish
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from wav2uti.clock import FPS
from wav2uti.condition.fusion import Fusion
from wav2uti.corpus.simulate import simulate_recording
from wav2uti.speech.acoustic import LogMel
from wav2uti.speech.textual import CharacterCodes
from wav2uti.speech.timing import token_places, token_times

SIZE, SEED = 16, 0  # of the corpus; the frames are not looked at
SOUND, TEXT = LogMel(), CharacterCodes()
STOPS = frozenset("bpdtgk")
SILENCE = -1.2  # of the log-mel embeddings


@dataclass
class Example:
    """What the benchmark keeps of a recording of T frames with L characters.

    Attributes:
        sound: (T, D_a). text: (L, D_t).
        by_order, by_times: (L,), place of each character in the recording, by its order and by its syllable's times.
        contour: (T, 100) in mm, less the speaker's mean.
        stop: (T,), whether a stop is being spoken.
    """

    speaker: int
    sound: NDArray[np.float32]
    text: NDArray[np.float32]
    by_order: NDArray[np.float32]
    by_times: NDArray[np.float32]
    contour: NDArray[np.float32]
    stop: NDArray[np.bool_]


class Variant(NamedTuple):
    """What a model is told."""

    sound: bool = True
    text: bool = True
    times: bool = False
    shuffled: bool = False


VARIANTS = {
    "A": Variant(text=False),
    "T": Variant(sound=False),
    "T, timed": Variant(sound=False, times=True),
    "A+T": Variant(),
    "A+T, timed": Variant(times=True),
    "A+T, shuffled": Variant(shuffled=True),
}


def example(speaker: int, utterance: int) -> Example:
    """One recording, simulated and embedded; its contour is not centred yet."""
    recording = simulate_recording(speaker, utterance, SIZE, SEED)
    assert recording.contour is not None
    assert recording.mm_per_pixel is not None
    text = TEXT.encode(recording.text)
    times = token_times(recording.text, TEXT.spans(recording.text), recording.words)
    instants = np.arange(len(recording.frames)) / FPS
    stops = [(phone.start, phone.end) for phone in recording.phones if phone.label in STOPS]
    return Example(
        speaker,
        SOUND.encode(recording.audio, len(recording.frames)),
        text,
        token_places(len(text), None, recording.duration),
        token_places(len(text), times, recording.duration),
        recording.contour.reshape(len(recording.contour), -1) * np.float32(recording.mm_per_pixel),
        np.any([(instants >= start) & (instants < end) for start, end in [(0.0, 0.0), *stops]], axis=0),
    )


def corpus(speakers: list[int], utterances: int) -> list[Example]:
    """Every recording of some speakers, contours centred on each speaker's mean."""
    wanted = [(speaker, utterance) for speaker in speakers for utterance in range(utterances)]
    with get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        examples = pool.starmap(example, wanted, chunksize=4)
    for speaker in speakers:
        own = [e for e in examples if e.speaker == speaker]
        mean = np.concatenate([e.contour for e in own]).mean(axis=0)
        for e in own:
            e.contour = e.contour - mean
    return examples


class Reader(nn.Module):
    """The fusion as it is shipped, and a linear readout of the contour.

    In training, some characters and some texts are left out (a share `drop` of each): a few hundred texts would be
    learnt by heart otherwise.
    """

    def __init__(self, text: bool, width: int, dropout: float, drop: float) -> None:
        super().__init__()
        self.drop = drop
        self.fusion = Fusion(SOUND.width, TEXT.width if text else None, width=width, dropout=dropout)
        self.readout = nn.Linear(width, 100)

    def forward(self, examples: list[Example], texts: list[Example], variant: Variant) -> Tensor:
        """Contours (B, T, 100) in standard deviations; `texts` are the recordings that lend their text."""
        sound = padded([e.sound for e in examples], SILENCE)
        if not variant.sound:
            sound = torch.zeros_like(sound)
        frames = torch.tensor([len(e.sound) for e in examples])
        progress = (torch.arange(sound.shape[1]) + 0.5) / frames[:, None]
        if not variant.text:
            alone: Tensor = self.readout(self.fusion(sound, None, None, progress))
            return alone
        text = padded([e.text for e in texts])
        mask = torch.arange(text.shape[1]) < torch.tensor([len(e.text) for e in texts])[:, None]
        places = padded([e.by_times if variant.times else e.by_order for e in texts])
        if self.training:
            mask &= (torch.rand(mask.shape) > self.drop) & (torch.rand(len(mask), 1) > self.drop)
        read: Tensor = self.readout(self.fusion(sound, text, mask, progress, places))
        return read


def padded(sequences: list[NDArray[np.float32]], value: float = 0.0) -> Tensor:
    """Sequences side by side, (B, longest, ...)."""
    return pad_sequence([torch.from_numpy(s) for s in sequences], batch_first=True, padding_value=value)


def lenders(count: int, shuffled: bool, random: np.random.Generator) -> NDArray[np.int64]:
    """Which recording lends each one its text: itself, or in a random circle through all of them another one."""
    lender = np.arange(count)
    if shuffled:
        circle = random.permutation(count)
        lender[circle] = np.roll(circle, 1)
    return lender


def trained(train: list[Example], variant: Variant, seed: int, args: argparse.Namespace) -> tuple[Reader, float]:
    """A model of one variant, and the standard deviation of the contours by which its output is to be multiplied."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    std = float(np.concatenate([e.contour for e in train]).std())
    lengths = np.array([len(e.sound) for e in train])
    reader = Reader(variant.text, args.width, args.dropout, args.drop)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=args.lr, weight_decay=args.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, args.steps, pct_start=0.1)
    lender = lenders(len(train), variant.shuffled, np.random.default_rng(seed))
    for _ in range(args.steps):
        # Recordings of about the same length, so that there is little to pad.
        first = random.integers(len(train) - args.batch + 1)
        drawn = np.argsort(lengths + random.normal(0.0, 8.0, len(train)))[first : first + args.batch]
        chosen = [train[k] for k in drawn]
        predicted = reader(chosen, [train[lender[k]] for k in drawn], variant)
        wanted = padded([e.contour for e in chosen], np.nan) / std
        real = wanted.isfinite()
        loss = functional.mse_loss(predicted[real], wanted[real])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return reader.eval(), std


@torch.no_grad()
def r2(reader: Reader, std: float, test: list[Example], variant: Variant, seed: int) -> dict[str, float]:
    """Share of the centred contours' variance that is foretold: over all frames, those of stops, and each speaker's."""
    lender = lenders(len(test), variant.shuffled, np.random.default_rng(seed))
    predicted = reader(test, [test[k] for k in lender], variant).numpy() * std
    errors = np.concatenate([p[: len(e.contour)] - e.contour for p, e in zip(predicted, test, strict=True)])
    contours = np.concatenate([e.contour for e in test])
    speakers = np.concatenate([np.full(len(e.contour), e.speaker) for e in test])
    groups = {"all": np.full(len(errors), True), "stops": np.concatenate([e.stop for e in test])}
    groups |= {f"speaker {speaker}": speakers == speaker for speaker in np.unique(speakers)}
    return {
        name: float(1 - np.square(errors[group]).sum() / np.square(contours[group]).sum())
        for name, group in groups.items()
    }


def summary(scores: list[dict[str, float]]) -> dict[str, Any]:
    """Mean, spread (largest less smallest) and every seed's, for each group of frames."""
    by_group = {group: [score[group] for score in scores] for group in scores[0]}
    return {
        group: {
            "mean": round(statistics.mean(s), 4),
            "spread": round(max(s) - min(s), 4),
            "seeds": np.round(s, 4).tolist(),
        }
        for group, s in by_group.items()
    }


def main() -> None:
    """Simulate, train every variant with every seed, and print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speakers", type=int, default=30, help="0 to this, less those of the test, are trained on")
    parser.add_argument("--test-speakers", type=int, nargs="+", default=list(range(34, 42)), help="held-out speakers")
    parser.add_argument("--utterances", type=int, default=24, help="of each speaker")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=16, help="recordings")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--width", type=int, default=128, help="of the fusion")
    parser.add_argument("--dropout", type=float, default=0.2, help="of the fusion")
    parser.add_argument("--drop", type=float, default=0.1, help="share of characters and of texts left out in training")
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), help="variants")
    parser.add_argument("--output", type=Path, help="JSON file for the result")
    args = parser.parse_args()
    torch.set_num_threads(1)

    begun = time.perf_counter()
    train = corpus([s for s in range(args.speakers) if s not in args.test_speakers], args.utterances)
    test = corpus(args.test_speakers, args.utterances)
    scores: dict[str, list[dict[str, float]]] = {}
    for seed, name in track([(s, n) for s in range(args.seeds) for n in args.only], "training"):
        reader, std = trained(train, VARIANTS[name], seed, args)
        scores.setdefault(name, []).append(r2(reader, std, test, VARIANTS[name], seed))
        if VARIANTS[name].text and not VARIANTS[name].shuffled:
            other = VARIANTS[name]._replace(shuffled=True)
            scores.setdefault(f"{name}; tested with shuffled text", []).append(r2(reader, std, test, other, seed))
    result = {
        "what": "R2 of centred tongue contours, held-out speakers, SIMULATED; spread: largest less smallest seed",
        "r2": {name: summary(s) for name, s in scores.items()},
        "data": "SIMULATED",
        "recordings": {"train": len(train), "test": len(test)},
        "frames": {"train": sum(len(e.sound) for e in train), "test": sum(len(e.sound) for e in test)},
        **{name: value for name, value in vars(args).items() if name not in ("output", "only")},
        "minutes": round((time.perf_counter() - begun) / 60, 1),
        "threads": torch.get_num_threads(),
    }
    publish(result, args.output)


if __name__ == "__main__":
    main()
