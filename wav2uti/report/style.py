"""Style and script of `report.html`."""

STYLE = """
:root { --paper: #fdfdfc; --ink: #1d1f21; --faint: #5b6066; --line: #d9dbdd; --panel: #f1f2f3; --accent: #0a5a9c;
  --warn: #fff3d6; --warn-ink: #5a3d00; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15171a; --ink: #e6e6e2; --faint: #a3a8ad; --line: #383c41; --panel: #202327; --accent: #7fbdf0;
    --warn: #3b2f10; --warn-ink: #f5dfa6; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem clamp(0.9rem, 3vw, 2rem) 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 0.4rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 0.8rem; border-bottom: 1px solid var(--line); padding-bottom: 0.3rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 0.4rem; overflow-wrap: anywhere; }
small, figcaption, .interval, .notes, dt { color: var(--faint); font-weight: normal; }
.banner, .warnings { background: var(--warn); color: var(--warn-ink); border-radius: 0.4rem; padding: 0.6rem 0.9rem; }
.warnings { padding-left: 2rem; }
.scroll { overflow-x: auto; }
.scroll:focus-visible, button:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; margin-top: 1.2rem; }
caption { text-align: left; font-weight: 600; padding-bottom: 0.4rem; }
th, td { text-align: right; padding: 0.35rem 0.7rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { background: var(--panel); white-space: normal; vertical-align: bottom; min-width: 4.5rem; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); }
thead th:first-child { background: var(--panel); }
.interval { display: block; font-size: 0.8rem; }
sup { line-height: 0; }
.notes { font-size: 0.85rem; margin: 0.5rem 0 0; max-width: 60rem; overflow-wrap: anywhere; }
ol.notes { padding-left: 1.4rem; }
figure { margin: 0; }
section > figure img { display: block; max-width: 100%; min-width: 40rem; height: auto; border-radius: 0.3rem; }
figcaption { font-size: 0.9rem; padding-top: 0.25rem; overflow-wrap: anywhere; }
.videos { display: grid; gap: 0.8rem; grid-template-columns: repeat(auto-fill, minmax(min(15rem, 45%), 1fr)); }
video { display: block; width: 100%; height: auto; background: #000; border-radius: 0.3rem; }
button { font: inherit; min-height: 2.75rem; padding: 0 1rem; border: 1px solid var(--line); border-radius: 0.4rem;
  background: var(--panel); color: var(--ink); cursor: pointer; }
button[aria-pressed="true"] { border-color: var(--accent); color: var(--accent); }
.buttons { display: flex; gap: 0.6rem; flex-wrap: wrap; margin: 0.3rem 0 0.6rem; }
details { border-bottom: 1px solid var(--line); }
summary { padding: 0.6rem 0; cursor: pointer; }
dl { display: grid; grid-template-columns: minmax(6rem, auto) 1fr; gap: 0.2rem 1rem; margin: 0 0 1rem;
  font-size: 0.9rem; }
dd { margin: 0; overflow-wrap: anywhere; }
@media print { .buttons { display: none; } }
"""

# The videos of a group loop together: the first to begin again takes the others with it, so that they cannot drift
# apart. Only one of them is heard.
SCRIPT = """
"use strict";
for (const group of document.querySelectorAll(".group")) {
  const videos = [...group.querySelectorAll("video")], lead = videos[0];
  const play = group.querySelector(".play"), slow = group.querySelector(".slow");
  let together = false;
  const pace = () => {
    const rate = slow.getAttribute("aria-pressed") === "true" ? 0.25 : 1;
    for (const video of videos) { video.defaultPlaybackRate = rate; video.playbackRate = rate; }
  };
  const start = () => {
    for (const video of videos) { video.currentTime = 0; video.play().catch(() => {}); }
  };
  const show = () => {
    play.textContent = together ? "Pause all" : "Play all";
    for (const video of videos) video.loop = !together;
  };
  play.addEventListener("click", () => {
    together = !together;
    show();
    if (together) {
      if ("sound" in group.dataset) videos.forEach((video, i) => { video.muted = i > 0; });
      pace();
      start();
    } else {
      for (const video of videos) video.pause();
    }
  });
  slow.addEventListener("click", () => {
    slow.setAttribute("aria-pressed", String(slow.getAttribute("aria-pressed") !== "true"));
    pace();
  });
  lead.addEventListener("ended", () => { if (together) start(); });
  pace();
}
"""
