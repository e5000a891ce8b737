"""The model card of an exported model: a README.md with the metadata block that the Hugging Face hub reads."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import yaml

from wav2uti.clock import FPS
from wav2uti.report.runs import Metrics
from wav2uti.report.scores import shown

UNKNOWN = "unknown"
# Identifiers that the hub knows; any other licence is `other` with its name beside it.
LICENCES = (
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "openrail",
    "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0",
    "other", UNKNOWN,
)  # fmt: skip
NOT_NAMED = (
    " Which corpus, and on what terms it may be used, the file does not say: name it here before you publish the model."
)
TAGS = ["ultrasound-tongue-imaging", "acoustic-to-articulatory-inversion", "speech", "video-generation", "phonetics"]


def model_card(
    config: Mapping[str, Any], name: str, licence: str, metrics: Metrics | str, data: str | None = None
) -> str:
    """The card's text.

    Args:
        config: of config.json (`tasks.exported`).
        name: what the model is called in the commands: its folder, or its repository on the hub.
        licence: an identifier of `LICENCES`, or any other name.
        metrics: scores of a test of this model, or the sentence why there are none.
        data: what it was trained on and on what terms, in the words of who exports it.
    """
    facts = config["facts"]
    parts = [
        f"---\n{yaml.safe_dump(_metadata(licence, _title(name), metrics), sort_keys=False, allow_unicode=True)}---",
        f"# {_title(name)}",
        _what(config, facts),
        f"## Data\n\n{_data(facts, data)}",
        f"## Licence\n\n{_licence(licence)}",
        f"## Use\n\n{_use(config, facts, _plain(name))}",
        f"## What it needs\n\n{_needs(config, facts)}",
        f"## Scores\n\n{metrics if isinstance(metrics, str) else _scores(metrics)}",
        f"## What it is for, and what not\n\n{_purpose(facts)}",
        f"## Files\n\n{_files(config)}",
    ]
    return "\n\n".join(parts) + "\n"


def encoders(facts: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What a model hears, reads and is written for by, with the spec of each that it has."""
    sound, text = facts.get("acoustic") or {}, facts.get("text") or {}
    found = [("sound", sound.get("spec")), ("text", text.get("spec")), ("transcriber", text.get("transcriber"))]
    return [(kind, spec) for kind, spec in found if isinstance(spec, dict)]


def pretrained(spec: Mapping[str, Any]) -> str | None:
    """The model that an encoder loads, a hub id or a folder; None for one without weights."""
    model = (spec.get("args") or {}).get("model")
    return str(model) if model else None


def is_hub_id(model: str) -> bool:
    """Whether a model is named as on the hub; else it is a folder.

    >>> is_hub_id("openai/whisper-small"), is_hub_id("/weights/whisper"), is_hub_id("bert-base-chinese")
    (True, False, True)
    """
    return re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", model) is not None


def _metadata(licence: str, title: str, metrics: Metrics | str) -> dict[str, Any]:
    known = licence.lower() in LICENCES
    named = {"license": licence.lower()} if known else {"license": "other", "license_name": licence}
    about = {**named, "library_name": "wav2uti", "tags": TAGS}
    return about if isinstance(metrics, str) else about | {"model-index": [_results(title, metrics)]}


def _results(title: str, metrics: Metrics) -> dict[str, Any]:
    """The scores as the hub lists them."""
    scores = [
        {"type": name, "name": _plain(shown(name).heading), "value": round(value, shown(name).digits)}
        for name, value in metrics.scores.items()
    ]
    kind = {True: "SIMULATED", False: "recorded", None: "of unknown origin"}[metrics.simulated]
    dataset = {"type": "custom", "name": f"speech and ultrasound, {kind}"}
    task = {"type": "speech-to-ultrasound", "name": "speech to ultrasound tongue imaging"}
    return {"name": title, "results": [{"task": task, "dataset": dataset, "metrics": scores}]}


def _what(config: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    size, rate = facts.get("size"), FPS / (facts.get("frame_step") or 1)
    inputs = "sound and text" if facts.get("text") else "sound"
    if facts.get("reference"):
        inputs += ", and one reference frame of the speaker"
    lines = [
        f"A `{_plain(config['class'].rsplit('.', 1)[-1])}` of wav2uti: it turns speech into ultrasound tongue imaging "
        f"video of {size}x{size} pixels at {rate:g} frames a second, from {inputs}.",
        f"It has {config['weights']['values']:,} values in {config['weights']['tensors']} tensors"
        f"{', averaged over training' if config.get('averaged') else ''}, after {config['global_step']:,} steps.",
    ]
    if config["weights"].get("half"):
        lines.append("They are stored as float16 and used as float32.")
    if low := config["hyper_parameters"].get("low"):
        low = low.get("init_args", low)
        side = low.get("size", "?")
        lines.append(f"It is a later stage of a cascade and draws on the frames of a stage of {side}x{side} before it.")
    return " ".join(lines)


def _data(facts: Mapping[str, Any], data: str | None) -> str:
    simulated = facts.get("simulated")
    said = f" {_plain(data)}, as stated by who exported these weights." if data else ""
    if simulated is None:
        whether = "The checkpoint does not say whether it was trained on simulated or on recorded data."
        return whether + (said or NOT_NAMED)
    if simulated:
        return (
            "**Trained on SIMULATED data**: the tongues are those of a model of the vocal tract, none a person's. "
            f"What it draws is no evidence about real speech.{said}"
        )
    return f"Trained on recordings of speakers.{said or NOT_NAMED}"


def _licence(licence: str) -> str:
    if licence.lower() == UNKNOWN:
        return "Unknown: who exported these weights gave none. Ask before you use or pass them on."
    return f"{_plain(licence)}, as stated by who exported these weights."


def _use(config: Mapping[str, Any], facts: Mapping[str, Any], folder: str) -> str:
    paths = f"STAGE_BEFORE,{folder}" if config["hyper_parameters"].get("low") else folder
    command = f"wav2uti predict --audio speech.wav --ckpt_path {paths}"
    command += ' --text "what is said"' if facts.get("text") else ""
    command += " --reference frame.png" if facts.get("reference") else ""
    listed = "[" + ", ".join(f'"{part}"' for part in paths.split(",")) + "]" if "," in paths else f'"{paths}"'
    return (
        f"```sh\n{command}\n```\n\n```python\nimport wav2uti\nfrom wav2uti.speech.audio import read_speech\n\n"
        f'frames = wav2uti.load({listed}).generate(read_speech("speech.wav"))  # uint8 (T, H, W)\n```'
    )


def _needs(config: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    lines = [f"- wav2uti {_plain(config['wav2uti'])} or a later version that reads format {config['format_version']}"]
    for kind, spec in encoders(facts):
        model = pretrained(spec)
        of = f"`{_plain(spec.get('class'))}`"
        if model is None:
            lines.append(f"- {kind}: {of}, which has no weights")
        elif is_hub_id(model):
            revision = spec["args"].get("revision")
            at = f" at revision `{_plain(revision)}`" if revision else ""
            lines.append(f"- {kind}: {of} with `{model}`{at} of the Hugging Face hub, downloaded at the first use")
        else:
            lines.append(
                f"- {kind}: {of} with a model that lay in the folder `{_plain(model)}` where this one was trained; "
                "it must lie there, too, where this one is used"
            )
    return "\n".join(lines)


def _scores(metrics: Metrics) -> str:
    said = _count(metrics.clips, "clip") if metrics.clips else "an unknown number of clips"
    if metrics.frames_per_clip:
        said += f" of {_count(metrics.frames_per_clip, 'frame')}"
    if metrics.recordings:
        said += f" from {_count(metrics.recordings, 'recording')}"
    if metrics.speakers:
        said += f" of {_count(metrics.speakers, 'speaker')}"
    height, width = metrics.resolution
    kind = {True: "SIMULATED", False: "recorded", None: "of unknown origin"}[metrics.simulated]
    rows = ["| score | value | 95 % interval over recordings |", "|---|---|---|"]
    for name, value in metrics.scores.items():
        score, interval = shown(name), metrics.intervals.get(name)
        ends = "" if interval is None else f"{interval[0]:.{score.digits}f} to {interval[1]:.{score.digits}f}"
        rows.append(f"| {_plain(score.heading)}, {_plain(score.about)} | {value:.{score.digits}f} | {ends} |")
    lines = [f"On {said}, {width}x{height} pixels at {metrics.frame_rate or FPS:g} frames a second, {kind}."]
    if sampler := metrics.task.get("sampler"):
        lines.append(
            f"Drawn with {_plain(sampler)} in {metrics.task.get('steps')} steps, guidance "
            f"{metrics.task.get('guidance')}."
        )
    tested = [f"{name} {_plain(metrics.origin[name])}" for name in ("date", "wav2uti") if name in metrics.origin]
    if tested:
        lines.append(f"Tested: {', '.join(tested)}.")
    if metrics.missing:
        lines.append(f"Not scored, since their networks' weights were not there: {', '.join(sorted(metrics.missing))}.")
    return " ".join(lines) + "\n\n" + "\n".join(rows)


def _purpose(facts: Mapping[str, Any]) -> str:
    lines = [
        "- For research on speech: what a tongue may look like that makes this sound, as a picture to look at, a "
        "baseline, or a starting point for other corpora.",
        "- Not for diagnosis or therapy, and no medical device: no picture of it says anything about a patient.",
        "- It shows nobody's real tongue. Where the probe was held and how large a mouth is cannot be heard; what the "
        "model draws is one likely picture of many.",
        "- Not to be passed off as a recording, and not to be used to tell speakers apart.",
    ]
    if facts.get("simulated"):
        lines.append("- It has seen simulated tongues only: no result of it is evidence about speech.")
    else:
        lines.append("- What its speakers agreed to when they were recorded bounds what it may be used for.")
    return "\n".join(lines)


def _files(config: Mapping[str, Any]) -> str:
    weights = config["weights"]
    return (
        f"`model.safetensors` has {weights['bytes']:,} bytes and the sha256\n`{weights['sha256']}`; `config.json` "
        "holds the class, its options and the facts of its data. There is no code in either.\n"
        f"Exported on {date.today().isoformat()} by wav2uti {_plain(config['wav2uti'])}."
    )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def renamed(card: str, name: str) -> str:
    """A card whose commands call the model by another name, such as that of its repository on the hub.

    >>> renamed("# m\\n\\nm is\\n```sh\\nx --ckpt_path m --text m\\n```", "owner/tongue").splitlines()
    ['# tongue', '', 'm is', '```sh', 'x --ckpt_path owner/tongue --text m', '```']
    """
    title = re.search(r"^# (.+)$", card, re.MULTILINE)
    if title is None:
        return card
    old, new = re.escape(title[1]), _plain(name)
    for before, after in ((r"--ckpt_path (?:STAGE_BEFORE,)?", r"(?=\s)"), (r'load\((?:\["STAGE_BEFORE", )?"', '(?=")')):
        card = re.sub(f"({before}){old}{after}", lambda match: match[1] + new, card)
    return card.replace(title[0], f"# {_title(name)}", 1)


def _title(name: str) -> str:
    return _plain(name).rsplit("/", 1)[-1]


def _plain(value: object) -> str:
    """A name in a line of Markdown: without marks that would end the line, a table's cell or code."""
    return re.sub(r"[\r\n|`<>]", " ", str(value)).strip()
