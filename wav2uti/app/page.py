"""The layout of the page, and which button does what."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from wav2uti.app.desk import Asked, Desk, Shown, User
from wav2uti.app.guard import owner_of
from wav2uti.app.limits import LONGEST_TEXT, MOST_SAMPLES, MOST_STEPS
from wav2uti.app.markup import about, refusal
from wav2uti.app.models import wants
from wav2uti.app.style import CSS, HEAD, theme
from wav2uti.errors import InputError
from wav2uti.pretrained import EXAMPLE

TITLE = "wav2uti: speech to ultrasound tongue imaging"
INTRODUCTION = """<header class="uti-head"><h1>wav2uti</h1><p>Speech in, the tongue out: what an ultrasound probe under
the chin might show while this is said.</p></header>"""
EMPTY = """<div class="uti-empty"><p>Here the tongue will move, over the waveform and the spectrogram of the
speech.</p></div>"""
PICTURES = [".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"]
NO_TEXT = "This model reads no text: it draws from the sound alone."
READS = "The model reads what is said. Write it as it is spelt."
NO_OTHER = ("None", "")

Updates = list[Any]


def page(desk: Desk) -> gr.Blocks:
    """The page, to be mounted into a server."""
    first = desk.models.found()[0].label
    with gr.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        gr.HTML(INTRODUCTION, padding=False)
        with gr.Row(elem_classes="uti-row"):
            with gr.Column(scale=2, min_width=320):
                sound = gr.Audio(
                    sources=["upload", "microphone"],
                    type="filepath",
                    label=f"Speech (up to {desk.limits.seconds:g} s, {desk.limits.megabytes:g} MB)",
                    buttons=[],
                    elem_id="sound",
                )
                example = gr.Button("Use the example sentence", size="sm", visible=EXAMPLE.is_file(), elem_id="example")
                text = gr.Textbox(label="Text", lines=2, max_length=LONGEST_TEXT, elem_id="text")
                transcribe = gr.Button("Write it down from the sound", size="sm", visible=False, elem_id="transcribe")
                model = gr.Dropdown(label="Model", choices=_labels(desk), value=first, filterable=True, elem_id="model")
                told = gr.HTML(padding=False, elem_id="about")
                other = gr.Dropdown(label="Compare with", choices=[NO_OTHER, *_pairs(desk)], value="", elem_id="other")
                reference = gr.File(
                    label="Reference frame (a picture)",
                    file_types=PICTURES,
                    type="filepath",
                    height=150,
                    elem_id="reference",
                )
                hint = gr.HTML(padding=False, elem_id="hint")
                with gr.Accordion("How to draw", open=False, elem_id="how"):
                    steps = gr.Slider(1, MOST_STEPS, 32, step=1, label="Steps", info="More take longer.")
                    guidance = gr.Slider(
                        1,
                        8,
                        3,
                        step=0.1,
                        label="Guidance",
                        info="Above 1 it keeps closer to the sound, in twice the time.",
                    )
                    samples = gr.Slider(
                        1,
                        MOST_SAMPLES,
                        1,
                        step=1,
                        label="Samples",
                        info="Of two or more, the spread shows what is uncertain.",
                    )
                    seed = gr.Number(
                        0, precision=0, minimum=0, label="Seed", info="The same seed gives the same frames."
                    )
            with gr.Column(scale=3, min_width=320):
                with gr.Row(elem_classes="uti-actions"):
                    start = gr.Button("Draw the tongue", variant="primary", elem_id="draw")
                    stop = gr.Button("Stop", interactive=False, elem_id="stop")
                status = gr.HTML(padding=False, elem_id="status")
                result = gr.HTML(EMPTY, padding=False, elem_id="result")

        fields = [sound, text, model, other, reference, steps, guidance, seed, samples]
        outcome = [status, result, start, stop]
        wanted = [text, transcribe, told, reference, hint, steps, guidance, samples]

        def drawn(request: gr.Request, *values: Any) -> Iterator[Updates]:
            with closing(desk.draw(Asked(*values), _user(request))) as shown:
                yield from map(_updates, shown)

        def written(request: gr.Request, *values: Any) -> Iterator[Updates]:
            with closing(desk.transcribe(Asked(*values), _user(request))) as shown:
                for one, words in shown:
                    yield [*_updates(one), gr.skip() if words is None else words]

        def chosen(label: str) -> Updates:
            return _asks(desk, label)

        def opened() -> Updates:
            labels = _labels(desk)
            return [
                gr.Dropdown(choices=labels, value=labels[0]),
                gr.Dropdown(choices=[NO_OTHER, *_pairs(desk)], value=""),
                *_asks(desk, labels[0]),
            ]

        def exampled() -> Updates:
            file, words = desk.example()
            return [str(file), words]

        def stopped(request: gr.Request) -> None:
            desk.stop(_user(request))

        def closed(request: gr.Request) -> None:
            desk.stop(_user(request))
            desk.store.ended(_user(request).session)

        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        blocks.load(opened, None, [model, other, *wanted], **private)
        model.input(chosen, model, wanted, **private)
        many = desk.limits.waiting + 2  # they wait at the desk, which tells them how many come before
        start.click(
            drawn, fields, outcome, concurrency_id="drawing", concurrency_limit=many, scroll_to_output=True, **private
        )
        transcribe.click(written, fields, [*outcome, text], concurrency_id="drawing", **private)
        example.click(exampled, None, [sound, text], **private)
        stop.click(stopped, None, None, queue=False, **private)
        blocks.unload(closed)
    return blocks


def _asks(desk: Desk, label: str) -> Updates:
    """The fields as a model wants them: text, transcribe, about it, reference, hint, steps, guidance, samples."""
    try:
        model = desk.models.named(label)
        asks = wants(model)
    except InputError as error:
        return [gr.skip(), gr.skip(), refusal(str(error)), *[gr.skip()] * 5]
    without = "the model's own is taken" if asks.own_reference else "it draws some speaker's tongue, placed somewhere"
    own = f"One frame of the speaker, cropped to the fan. Without it {without}."
    return [
        gr.Textbox(
            interactive=asks.text,
            label="Text" if asks.text else "Text (this model reads none)",
            placeholder=READS if asks.text else NO_TEXT,
        ),
        gr.Button(visible=asks.transcriber),
        about(asks),
        gr.File(visible=asks.reference),
        f'<p class="uti-about">{own}</p>' if asks.reference else "",
        gr.Slider(visible=asks.steps is not None, value=asks.steps or 1),
        gr.Slider(visible=asks.guidance is not None, value=asks.guidance or 1.0),
        gr.Slider(visible=asks.steps is not None),
    ]


def _updates(shown: Shown) -> Updates:
    """For status, result, start and stop."""
    return [
        shown.status,
        gr.skip() if shown.result is None else shown.result,
        gr.Button(interactive=not shown.busy),
        gr.Button(interactive=shown.busy),
    ]


def _user(request: gr.Request) -> User:
    return User(owner_of(request.headers.get("cookie", "")), str(request.session_hash))


def _labels(desk: Desk) -> list[str]:
    return [model.label for model in desk.models.found()]


def _pairs(desk: Desk) -> Sequence[tuple[str, str]]:
    return [(label, label) for label in _labels(desk)]


def script() -> Path:
    """The file of the player."""
    return Path(__file__).with_name("player.js")


LOOK = {"css": CSS, "head": HEAD, "theme": theme()}
