"""What was said in a recording, with the time of each word, by Whisper."""

import unicodedata
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wav2uti.clock import SAMPLE_RATE
from wav2uti.corpus.recording import Interval
from wav2uti.errors import InputError
from wav2uti.speech.hub import Pretrained, quiet
from wav2uti.speech.pieces import active, longest_pause, narrowed, pieces, warp

# Languages that are written without spaces: each token that is a whole character is a word (as in Whisper itself).
_UNSPACED = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km"})


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said.

    Attributes:
        text: as the model writes it, with capitals and punctuation; empty where there was no speech.
        language: code such as "en" or "zh"; empty where it was to be detected and there was no speech.
        words: words without punctuation, with their times in s from the first sample, in order.
    """

    text: str
    language: str
    words: tuple[Interval, ...]


class Transcriber(Pretrained):
    """Whisper, with beam search and word times.

    The sound is cut at its quietest moments into pieces of at most 30 s, what Whisper hears at a time; stretches
    without sound are left out, because Whisper fills them with words. Each piece is decoded as in Radford et al.
    2023, section 4.5: a beam of 5, and sampling where the result repeats itself or is improbable.

    The times come from dynamic time warping of the cross-attention: in the heads that the generation config names
    (`alignment_heads`), and else in all heads of the upper half of the decoder, which on whisper-tiny.en agree with
    the chosen ones within about 0.2 s. They are then narrowed to where there is sound.

    Args:
        model: hub id or local folder of a Whisper model of any size, with safetensors weights.
        language: code or English name; None to detect it (in the first piece of each recording).
        revision: commit, branch or tag of a model on the hub.
        device: where the model runs; in half precision on a GPU.
    """

    BEAMS = 5
    PAUSE = 0.5  # s; without times of segments Whisper ends at a longer pause, with them its text is a little worse
    TEMPERATURES = (0.0, 0.4, 0.8)
    NO_SPEECH = 0.6  # a piece with a higher probability of no speech and a lower log probability is left out
    DOUBTFUL = -0.5
    IMPROBABLE = -1.0  # mean log probability of a token below which another temperature is tried
    REPETITIVE = 2.4  # and the ratio by which zlib shortens the text above which it is
    _TOKENS_A_SECOND = 15  # fast speech has about 6; bounds the time that a loop on noise can take

    def __init__(
        self,
        model: str = "openai/whisper-large-v3",
        language: str | None = None,
        revision: str | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(model, revision)
        self.language, self.device = language, device

    def spec(self) -> dict[str, Any]:
        """Arguments as plain JSON, from which `build_transcriber` makes the same transcriber."""
        return {"class": "Transcriber", "args": self._pinned_args() | {"language": self.language}}

    def transcribe(self, audio: NDArray[np.float32]) -> Transcript:
        """Transcribe a recording, float32 (N,) at 16 kHz.

        A recording without speech gives an empty transcript and a `UserWarning`.

        Raises:
            InputError: the model cannot be had, is no Whisper model or lacks the language.
        """
        language = self._code()
        texts: list[str] = []
        words: list[Interval] = []
        sounding = active(audio)
        for first, last in pieces(audio, sounding):
            pauses = longest_pause(sounding, first, last) > self.PAUSE
            piece = self._transcribe_piece(audio[first:last], language, pauses)
            if piece is None:
                continue
            text, language, timed = piece
            texts.append(text)
            words.extend(Interval(w.label, w.start + first / SAMPLE_RATE, w.end + first / SAMPLE_RATE) for w in timed)
        if not texts:
            warnings.warn(
                "No speech was found in the recording, so its transcript is empty: check the microphone.",
                UserWarning,
                stacklevel=2,
            )
        text = ("" if language in _UNSPACED else " ").join(texts)
        return Transcript(text, language or "", narrowed(words, sounding, len(audio) / SAMPLE_RATE))

    def _code(self) -> str | None:
        """The code of the language that was set, or None where it has to be detected."""
        config = self._generation
        if getattr(config, "no_timestamps_token_id", None) is None:
            raise InputError(
                f"The generation config of the model {self.model} is incomplete: "
                "copy generation_config.json from the openai/whisper model that it was made from."
            )
        if not self._multilingual:
            if self.language is not None and _language_code(self.language) != "en":
                raise InputError(
                    f"The model {self.model} knows English only, not the language {self.language!r}: "
                    "take a multilingual one, for instance openai/whisper-large-v3."
                )
            return "en"
        if not getattr(config, "lang_to_id", None) or not getattr(config, "task_to_id", None):
            raise InputError(
                f"The generation config of the model {self.model} lists no languages: "
                "copy generation_config.json from the openai/whisper model that it was made from."
            )
        if self.language is None:
            return None
        code = _language_code(self.language)
        if f"<|{code}|>" not in config.lang_to_id:
            raise InputError(
                f"The model {self.model} does not know the language {self.language!r}: give a code such as 'en' or "
                "'zh', or another model."
            )
        return code

    def _transcribe_piece(
        self, audio: NDArray[np.float32], language: str | None, pauses: bool
    ) -> tuple[str, str, list[Interval]] | None:
        """Text, language and words of at most 30 s, times from its first sample; None where nothing is said."""
        import torch
        from transformers.modeling_outputs import BaseModelOutput

        model = self._loaded
        features = self._extractor(audio, sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_features"]
        with torch.inference_mode():
            hidden = model.get_encoder()(features.to(model.device, model.dtype)).last_hidden_state
            encoded = BaseModelOutput(last_hidden_state=hidden)
            # One step of the decoder says how probable it is that nobody speaks, and in which language somebody does.
            start = torch.tensor([[model.generation_config.decoder_start_token_id]], device=model.device)
            logits = model(encoder_outputs=encoded, decoder_input_ids=start).logits[0, -1].float()
            silent = float(logits.softmax(-1)[model.generation_config.no_timestamps_token_id - 1])
            if language is None:
                languages = model.generation_config.lang_to_id
                language = max(languages, key=lambda token: float(logits[languages[token]])).strip("<|>")
            best: tuple[float, list[int], NDArray[np.float64]] | None = None
            for temperature in self.TEMPERATURES:
                ids = self._generate(encoded, language, temperature, len(audio) / SAMPLE_RATE, pauses)
                score, times = self._align(encoded, language, ids, len(audio), pauses)
                best = max(best, (score, ids, times), key=lambda found: found[0]) if best else (score, ids, times)
                if silent > self.NO_SPEECH and score < self.DOUBTFUL:
                    return None
                if score >= self.IMPROBABLE and not self._repeats(ids):
                    best = score, ids, times
                    break
        assert best is not None
        _, ids, times = best
        told = [place for place, token in enumerate(ids) if token < model.generation_config.eos_token_id]
        ids, spans = (
            [ids[place] for place in told],
            np.stack([times[told], times[[place + 1 for place in told]]], axis=1),
        )
        text = self._tokenizer.decode(ids, skip_special_tokens=True).strip()
        if not any(map(str.isalnum, text)):
            return None
        return text, language, self._words(ids, spans, language in _UNSPACED)

    def _generate(self, encoded: Any, language: str, temperature: float, seconds: float, pauses: bool) -> list[int]:
        """Ids of the text's tokens; where there are `pauses`, with those of the times of its segments between them."""
        import torch

        model = self._loaded
        options: dict[str, Any] = {"language": language, "task": "transcribe"} if self._multilingual else {}
        if temperature:
            options |= {"do_sample": True, "temperature": temperature, "num_beams": 1}
        else:
            options |= {"do_sample": False, "num_beams": self.BEAMS}
        devices = [model.device] if model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), quiet():  # it complains about its own options
            torch.manual_seed(0)  # the same sound gives the same text
            out = model.generate(
                encoder_outputs=encoded,
                return_timestamps=pauses,
                condition_on_prev_tokens=False,
                max_length=min(model.config.max_target_positions, 20 + int(self._TOKENS_A_SECOND * seconds)),
                **options,
            )
        config = model.generation_config
        return [int(i) for i in out[0] if int(i) < config.eos_token_id or int(i) > config.no_timestamps_token_id]

    def _align(
        self, encoded: Any, language: str, ids: list[int], samples: int, pauses: bool
    ) -> tuple[float, NDArray[np.float64]]:
        """Mean log probability of the tokens, and where each begins and the last ends, float64 (tokens + 1,) in s."""
        import torch
        from scipy.ndimage import median_filter

        model, config = self._loaded, self._loaded.generation_config
        prompt = [config.decoder_start_token_id]
        if self._multilingual:
            prompt += [config.lang_to_id[f"<|{language}|>"], config.task_to_id["transcribe"]]
        if not pauses:
            prompt.append(config.no_timestamps_token_id)
        tokens = torch.tensor([prompt + ids], device=model.device)
        kernel = model.config._attn_implementation
        model.set_attn_implementation("eager")  # the only one that gives its weights
        try:
            out = model(encoder_outputs=encoded, decoder_input_ids=tokens, output_attentions=True)
        finally:
            model.set_attn_implementation(kernel)
        before = len(prompt) - 1  # this row predicts the first token, the last row the end of the text
        logs = out.logits[0, before:].float().log_softmax(-1)
        score = float(logs[range(len(ids) + 1), [*ids, config.eos_token_id]].mean())
        heads = getattr(config, "alignment_heads", None)
        if not heads:
            layers, count = model.config.decoder_layers, model.config.decoder_attention_heads
            heads = [(layer, head) for layer in range(layers // 2, layers) for head in range(count)]
        frames = max(-(-samples // 320), 1)  # the encoder's outputs that hear the sound and not the padding
        picked = torch.stack([out.cross_attentions[layer][0, head] for layer, head in heads])
        weights = picked[:, before:, :frames].float().cpu().numpy()
        weights = (weights - weights.mean(axis=1, keepdims=True)) / (weights.std(axis=1, keepdims=True) + 1e-9)
        weights = median_filter(weights, size=(1, 1, model.config.median_filter_width)).mean(axis=0)
        return score, warp(-weights) * (320 / SAMPLE_RATE)

    def _repeats(self, ids: list[int]) -> bool:
        text = self._tokenizer.decode(ids, skip_special_tokens=True).encode()
        return len(text) / len(zlib.compress(text)) > self.REPETITIVE

    def _words(self, ids: Sequence[int], spans: NDArray[np.float64], unspaced: bool) -> list[Interval]:
        """Join tokens, with their times (L, 2) in s, to words.

        A character may take several tokens; punctuation belongs to the word before it.
        """
        words: list[tuple[str, float, float]] = []
        first = 0
        for last in range(1, len(ids) + 1):
            text = self._tokenizer.decode(ids[first:last], skip_special_tokens=True)
            if text.endswith("\ufffd") and last < len(ids):
                continue
            spoken = any(map(str.isalnum, text))
            if words and not text.startswith(" ") and not (unspaced and spoken):
                words[-1] = (words[-1][0] + text, words[-1][1], float(spans[last - 1, 1]))
            else:
                words.append((text, float(spans[first, 0]), float(spans[last - 1, 1])))
            first = last
        bare = ((_bare(label), start, end) for label, start, end in words)
        return [Interval(label, start, end) for label, start, end in bare if label]

    @property
    def _multilingual(self) -> bool:
        # OpenAI's own test where an old generation config does not say it.
        return bool(getattr(self._generation, "is_multilingual", self._config.vocab_size >= 51865))

    @cached_property
    def _config(self) -> Any:
        from transformers import AutoConfig

        config = self._load(AutoConfig.from_pretrained)
        if config.model_type != "whisper":
            raise InputError(
                f"{self.model} is a {config.model_type} model, which cannot transcribe: give a Whisper model."
            )
        return config

    @cached_property
    def _generation(self) -> Any:
        from transformers import GenerationConfig

        _ = self._config  # another kind of model is named before a missing file of it
        return self._load(GenerationConfig.from_pretrained)

    @cached_property
    def _extractor(self) -> Any:
        from transformers import AutoFeatureExtractor

        return self._load(AutoFeatureExtractor.from_pretrained)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return self._load(AutoTokenizer.from_pretrained)

    @cached_property
    def _loaded(self) -> Any:
        import torch
        from transformers import WhisperForConditionalGeneration

        load = WhisperForConditionalGeneration.from_pretrained
        model = self._load_weights(load, use_safetensors=True)
        return model.to(self.device, torch.float16 if self.device.startswith("cuda") else torch.float32)


def build_transcriber(spec: dict[str, Any], device: str = "cpu") -> Transcriber:
    """The transcriber that `spec` describes, to run on `device`."""
    try:
        if spec["class"] != "Transcriber":
            raise KeyError(spec["class"])
        return Transcriber(**spec.get("args", {}), device=device)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{spec!r} describes no transcriber: give the class Transcriber with its arguments."
        ) from error


def _language_code(language: str) -> str:
    """Whisper's code of a language given by code, tag or English name: "zh-CN" and "Mandarin" are "zh"."""
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    name = language.strip().lower()
    return str(TO_LANGUAGE_CODE.get(name, {"cmn": "zh"}.get(tag := name.replace("_", "-").split("-")[0], tag)))


def _bare(label: str) -> str:
    """A word without the white space and punctuation around it."""
    marks = "".join({c for c in label if not (c.isalnum() or unicodedata.category(c).startswith("M"))})
    return label.strip(marks)
