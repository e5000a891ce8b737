"""The look of the page: Gradio's own components in the system's typeface, and the pieces of `markup`."""

import gradio as gr

# A custom element has to be known before a result holds one.
HEAD = '<script type="module" src="player.js"></script><meta name="color-scheme" content="light dark">'

CSS = """
:root { --uti-invert: 1; --uti-warn: #fff3d6; --uti-warn-ink: #5a3d00; --uti-wrong: #fde8e6; --uti-wrong-ink: #8a1c10; }
.dark { --uti-invert: 0; --uti-warn: #3b2f10; --uti-warn-ink: #f5dfa6; --uti-wrong: #43201c; --uti-wrong-ink: #ffc9c2; }
.gradio-container { max-width: 1240px !important; margin: 0 auto !important; }
.uti-head h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 0.2rem; font-weight: 650; }
.uti-head p { margin: 0; color: var(--body-text-color-subdued); font-size: 1rem; }
.uti-row { align-items: flex-start; }
.uti-note { border-radius: 8px; padding: 0.6rem 0.9rem; margin: 0 0 0.6rem; font-size: 0.95rem;
  background: var(--background-fill-secondary); color: var(--body-text-color);
  border: 1px solid var(--border-color-primary); }
.uti-note progress { display: block; width: 100%; height: 8px; margin-top: 0.5rem; appearance: none; border: 0;
  border-radius: 4px; overflow: hidden; background: var(--border-color-primary); }
.uti-note progress::-webkit-progress-bar { background: var(--border-color-primary); }
.uti-note progress::-webkit-progress-value { background: #d97706; }
.uti-note progress::-moz-progress-bar { background: #d97706; }
.uti-wrong { background: var(--uti-wrong); color: var(--uti-wrong-ink); border-color: currentColor; }
.uti-simulated { background: var(--uti-warn); color: var(--uti-warn-ink); border-color: transparent; }
.uti-simulated strong { color: inherit; }
#status:not(:has(.uti-note)) { display: none; }
.uti-about { color: var(--body-text-color-subdued); font-size: 0.9rem; margin: 0; }
.uti-empty p { color: inherit; }
.uti-empty { display: grid; place-items: center; min-height: 22rem; padding: 2rem; text-align: center;
  border-radius: 12px; border: 1px dashed var(--border-color-primary); color: var(--body-text-color-subdued); }
.uti-files h3, .uti-files h4 { margin: 1.4rem 0 0.4rem; font-weight: 600; color: var(--body-text-color); }
.uti-files h4 { margin: 0.8rem 0 0.2rem; font-size: 0.95rem; }
.uti-files ul { list-style: none; margin: 0; padding: 0; }
.uti-files li { padding: 0.3rem 0; border-bottom: 1px solid var(--border-color-primary); overflow-wrap: anywhere; }
.uti-files span { color: var(--body-text-color-subdued); font-size: 0.9rem; }
.uti-files a { color: var(--link-text-color); }
.uti-files a.uti-all { display: inline-block; padding: 0.5rem 0.9rem; border: 1px solid var(--border-color-primary);
  border-radius: 8px; background: var(--background-fill-secondary); font-weight: 600; text-decoration: none; }
.uti-facts { display: flex; flex-wrap: wrap; gap: 1rem; justify-content: space-between; margin-top: 1rem;
  font-size: 0.9rem; }
.uti-facts dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1rem; margin: 0; flex: 1 1 18rem;
  align-content: start; }
.uti-facts dt { color: var(--body-text-color-subdued); }
.uti-facts dd { margin: 0; overflow-wrap: anywhere; }
.uti-facts figure { margin: 0; width: 7rem; }
.uti-facts img { width: 7rem; border-radius: 6px; image-rendering: auto; }
.uti-facts figcaption { font-size: 0.8rem; color: var(--body-text-color-subdued); }
footer { display: none !important; }
@media (max-width: 640px) {
  .uti-facts dl { grid-template-columns: 1fr; }
  .uti-empty p { color: inherit; }
.uti-empty { min-height: 8rem; }
}
"""


def theme() -> gr.themes.Base:
    """Gradio's plain theme; typefaces of the system, since none may be fetched."""
    sans = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    mono = ["ui-monospace", "Menlo", "Consolas", "monospace"]
    return gr.themes.Base(
        primary_hue=gr.themes.colors.orange,
        neutral_hue=gr.themes.colors.zinc,
        font=[gr.themes.Font(name) for name in sans],
        font_mono=[gr.themes.Font(name) for name in mono],
        radius_size=gr.themes.sizes.radius_md,
    ).set(
        body_text_color_subdued="#5b6066",
        body_text_color_subdued_dark="#a8adb3",
        input_placeholder_color="#6b7076",
        input_placeholder_color_dark="#9a9fa5",
        button_primary_background_fill="#b45309",
        button_primary_background_fill_dark="#b45309",
        button_primary_background_fill_hover="#92400e",
        button_primary_background_fill_hover_dark="#d97706",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        slider_color="#b45309",
        slider_color_dark="#d97706",
    )
