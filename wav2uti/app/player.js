// <uti-player>: videos of the tongue that play in step, over the waveform and the spectrogram of their speech.
//
// `data-play` holds JSON: fps, frames, wave [[max, min], ...] in percent, spectrogram (address), columns:
// [{title, contour (address of JSON: by kind, of each frame x, y, x, y, ...), videos: [{kind, label, src, width}]}],
// width being that of the drawn frames in pixels. The first video is the clock and the one that
// is heard; the others follow it. Times come from the video, not from a timer: what stands under the cursor is seen.
"use strict";

const STYLE = `
:host { display: block; color: var(--body-text-color, #1d1f21); --line: var(--border-color-primary, #d4d6d9);
  --panel: var(--background-fill-secondary, #f4f5f6); --accent: #c2410c; font: 15px/1.45 system-ui, sans-serif; }
:host([hidden]) { display: none; }
.columns { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(260px, 100%), 1fr)); }
:host([data-count="2"]) .columns { grid-template-columns: 1fr 1fr; }
figure { margin: 0 auto; width: 100%; max-width: 520px; }
.stage { position: relative; background: #181818; border-radius: 8px; overflow: hidden; line-height: 0; }
video { width: 100%; height: auto; display: block; cursor: pointer; }
canvas { position: absolute; inset: 0 auto auto 0; width: 100%; pointer-events: none; }
figcaption { padding: 6px 2px; overflow-wrap: anywhere; }
.bar { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin: 8px 0; }
.group { display: inline-flex; }
.group button { border-radius: 0; margin-left: -1px; }
.group button:first-child { border-radius: 8px 0 0 8px; margin-left: 0; }
.group button:last-child { border-radius: 0 8px 8px 0; }
button { font: inherit; min-width: 44px; min-height: 40px; padding: 0 12px; border: 1px solid var(--line);
  border-radius: 8px; background: var(--panel); color: inherit; cursor: pointer; }
button:hover { border-color: currentColor; position: relative; }
button[aria-pressed="true"] { background: #b45309; border-color: #b45309; color: #fff; }
button.play { min-width: 92px; font-weight: 600; }
button:focus-visible, .strips:focus-visible { outline: 2px solid #b45309; outline-offset: 2px; }
.time { font-variant-numeric: tabular-nums; margin-left: auto; white-space: nowrap; }
.strips { position: relative; border: 1px solid var(--line); border-radius: 8px; overflow: hidden; cursor: crosshair;
  touch-action: pan-y; user-select: none; -webkit-user-select: none; }
.wave { display: block; width: 100%; height: 72px; background: var(--panel); color: #0b6aa8; }
:host-context(.dark) .wave { color: #78bee9; }
.spectrogram { display: block; width: 100%; height: 150px; filter: invert(var(--uti-invert, 1)); pointer-events: none; }
.cursor { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px; background: #e8590c; pointer-events: none; }
.hz { position: absolute; right: 5px; font-size: 11px; line-height: 1; padding: 2px 4px; border-radius: 3px;
  background: var(--panel); opacity: 0.9; pointer-events: none; }
.axis { position: relative; height: 20px; font-size: 12px; opacity: 0.8; margin: 0 1px;
  font-variant-numeric: tabular-nums; }
.legend { margin: 2px 0 0; font-size: 13px; opacity: 0.8; }
.axis span { white-space: nowrap; position: absolute; transform: translateX(-50%); }
.axis span:first-child { transform: none; }
.axis span:last-child { transform: translateX(-100%); }
@media (max-width: 480px) {
  .columns { gap: 6px; }
  .spectrogram { height: 110px; }
  button { padding: 0 9px; }
  .time { margin-left: 0; width: 100%; }
}`;

const ORANGE = "#e69f00"; // of the contour, as on the contact sheet
const DRIFT = 0.04; // seconds by which a video may be apart from the clock while it plays

class Player extends HTMLElement {
  connectedCallback() {
    this.play = JSON.parse(this.dataset.play);
    this.seconds = this.play.frames / this.play.fps;
    this.rate = 1;
    this.traced = true;
    this.kind = "video";
    this.dataset.count = this.play.columns.length;
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    root.replaceChildren();
    root.append(Object.assign(document.createElement("style"), { textContent: STYLE }));
    const legend = element("p", { className: "legend", textContent: "The tip of the tongue is on the right." });
    root.append(this.columns(), this.bar(), this.strips(), this.axis(), legend);
    this.clock = this.videos[0];
    for (const event of ["play", "pause", "ended"]) this.clock.addEventListener(event, () => this.changed());
    for (const event of ["seeked", "loadeddata", "timeupdate"]) this.clock.addEventListener(event, () => this.show());
    this.changed();
  }

  disconnectedCallback() {
    cancelAnimationFrame(this.next);
    for (const video of this.videos ?? []) video.pause();
  }

  columns() {
    this.videos = [];
    this.canvases = [];
    const all = element("div", { className: "columns" });
    this.play.columns.forEach((column, number) => {
      const video = element("video", { playsInline: true, preload: "auto", muted: number > 0 });
      video.src = column.videos[0].src;
      video.setAttribute("aria-label", `Ultrasound of the tongue, ${column.title}`);
      video.addEventListener("click", () => this.toggle());
      video.addEventListener("loadeddata", () => this.trace());
      const canvas = element("canvas");
      const stage = element("div", { className: "stage" });
      stage.append(video, canvas);
      const figure = element("figure");
      figure.append(stage, element("figcaption", { textContent: column.title }));
      all.append(figure);
      this.videos.push(video);
      this.canvases.push(canvas);
      column.points = {};
      fetch(column.contour)
        .then((answer) => (answer.ok ? answer.json() : {}))
        .then((points) => { column.points = points; this.trace(); })
        .catch(() => {});
    });
    return all;
  }

  bar() {
    const bar = element("div", { className: "bar" });
    this.button = element("button", { type: "button", className: "play", title: "Space" });
    this.button.addEventListener("click", () => this.toggle());
    const steps = element("span", { className: "group" });
    for (const [label, by, title] of [["◂", -1, "One frame back (left arrow)"], ["▸", 1, "One frame on (right arrow)"]]) {
      const step = element("button", { type: "button", textContent: label, title });
      step.setAttribute("aria-label", title);
      step.addEventListener("click", () => this.step(by));
      steps.append(step);
    }
    const rates = choice("Speed", [["1", "1×"], ["0.5", "½×"], ["0.25", "¼×"]], "1", (rate) => {
      this.rate = Number(rate);
      for (const video of this.videos) video.playbackRate = this.rate;
    });
    const trace = element("button", { type: "button", className: "contour", textContent: "Contour" });
    trace.title = "The tongue's contour, tracked in the frames";
    trace.setAttribute("aria-pressed", "true");
    trace.addEventListener("click", () => {
      this.traced = !this.traced;
      trace.setAttribute("aria-pressed", String(this.traced));
      this.trace();
    });
    bar.append(this.button, steps, rates, trace);
    const kinds = new Map(this.play.columns.flatMap((c) => c.videos).map((v) => [v.kind, v.label]));
    if (kinds.size > 1) bar.append(choice("View", [...kinds], "video", (kind) => this.view(kind)));
    this.time = element("output", { className: "time" });
    bar.append(this.time);
    return bar;
  }

  strips() {
    const box = element("div", { className: "strips", tabIndex: 0 });
    box.setAttribute("role", "slider");
    box.setAttribute("aria-label", "Time in the recording");
    box.setAttribute("aria-valuemin", "0");
    box.setAttribute("aria-valuemax", this.seconds.toFixed(3));
    box.innerHTML = `<svg class="wave" viewBox="0 -105 ${this.play.wave.length} 210" preserveAspectRatio="none"
      role="img" aria-label="Waveform"><path fill="currentColor" stroke="currentColor" stroke-width="0.6"/></svg>
      <img class="spectrogram" alt="Spectrogram, 0 to 8 kHz" draggable="false">
      <span class="hz" style="top: 77px">8 kHz</span><span class="hz" style="bottom: 4px">0</span>
      <div class="cursor"></div>`;
    const upper = this.play.wave.map(([most], x) => `${x + 0.5},${-most}`);
    const lower = this.play.wave.map(([, least], x) => `${x + 0.5},${-least}`).reverse();
    box.querySelector("path").setAttribute("d", `M${upper.join("L")}L${lower.join("L")}Z`);
    box.querySelector("img").src = this.play.spectrogram;
    this.cursor = box.querySelector(".cursor");
    const seek = (event) => {
      const place = box.getBoundingClientRect();
      this.seek(((event.clientX - place.left) / place.width) * this.seconds);
    };
    box.addEventListener("pointerdown", (event) => {
      box.setPointerCapture(event.pointerId);
      seek(event);
    });
    box.addEventListener("pointermove", (event) => { if (event.buttons) seek(event); });
    this.onkeydown = (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by) this.step(by * (event.shiftKey ? 10 : 1));
      else if (event.key === " " && event.composedPath()[0].tagName !== "BUTTON") this.toggle();
      else return;
      event.preventDefault();
    };
    this.slider = box;
    return box;
  }

  axis() {
    const axis = element("div", { className: "axis" });
    axis.setAttribute("aria-hidden", "true");
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 300].find((s) => this.seconds / s <= 8) ?? 600;
    const marks = [];
    for (let k = 0; k * step < 0.9 * this.seconds; k++) marks.push(k * step);
    for (const mark of marks) axis.append(tick(mark, this.seconds, String(Number(mark.toFixed(1)))));
    axis.append(tick(this.seconds, this.seconds, `${this.seconds.toFixed(2)} s`));
    return axis;
  }

  get frame() {
    // Half a frame of tolerance: a browser's currentTime is rounded to microseconds, and frame k begins at k / fps.
    return Math.min(this.play.frames - 1, Math.max(0, Math.floor(this.clock.currentTime * this.play.fps + 0.01)));
  }

  toggle() {
    if (!this.clock.paused) return this.clock.pause();
    if (this.clock.ended || this.clock.currentTime > this.seconds - 0.5 / this.play.fps) this.seek(0);
    this.clock.play().catch(() => {});
  }

  step(by) {
    this.clock.pause();
    this.seek((Math.min(this.play.frames - 1, Math.max(0, this.frame + by)) + 0.5) / this.play.fps);
  }

  seek(seconds) {
    const time = Math.min(Math.max(seconds, 0), this.seconds - 0.001);
    for (const video of this.videos) video.currentTime = time;
    this.show(time);
  }

  view(kind) {
    this.kind = kind;
    const time = this.clock.currentTime, playing = !this.clock.paused;
    this.play.columns.forEach((column, number) => {
      const chosen = column.videos.find((video) => video.kind === kind) ?? column.videos[0];
      const video = this.videos[number];
      column.shown = chosen;
      if (video.getAttribute("src") === chosen.src) return;
      video.src = chosen.src;
      video.currentTime = time;
      video.playbackRate = this.rate;
      if (playing) video.play().catch(() => {});
    });
  }

  changed() {
    const playing = !this.clock.paused && !this.clock.ended;
    this.button.textContent = playing ? "❚❚ Pause" : "▶ Play";
    for (const video of this.videos.slice(1)) {
      if (playing) video.play().catch(() => {});
      else { video.pause(); video.currentTime = this.clock.currentTime; }
    }
    cancelAnimationFrame(this.next);
    if (playing) this.follow();
    else this.show();
  }

  follow() {
    for (const video of this.videos.slice(1))
      if (!video.seeking && Math.abs(video.currentTime - this.clock.currentTime) > DRIFT)
        video.currentTime = this.clock.currentTime;
    this.show();
    this.next = requestAnimationFrame(() => this.follow());
  }

  show(time = this.clock.currentTime) {
    this.cursor.style.left = `${(100 * Math.min(time, this.seconds)) / this.seconds}%`;
    this.time.textContent = `${time.toFixed(3)} s · frame ${this.frame + 1} of ${this.play.frames}`;
    this.slider.setAttribute("aria-valuenow", time.toFixed(3));
    this.slider.setAttribute("aria-valuetext", this.time.textContent);
    this.trace();
  }

  trace() {
    this.play.columns.forEach((column, number) => {
      const video = this.videos[number], canvas = this.canvases[number];
      if (!video.videoWidth) return;
      if (canvas.width !== video.videoWidth || canvas.height !== video.videoHeight) {
        canvas.width = video.videoWidth;
        canvas.height = video.videoHeight;
      }
      const pen = canvas.getContext("2d"), shown = column.shown ?? column.videos[0];
      const points = column.points[shown.kind]?.[this.frame] ?? [];
      const scale = Math.floor(video.videoWidth / shown.width);
      pen.clearRect(0, 0, canvas.width, canvas.height);
      if (!this.traced || points.length < 4) return;
      pen.beginPath();
      // A pixel's centre is a whole number in the contour and half of one on the canvas.
      for (let k = 0; k < points.length; k += 2) pen.lineTo((points[k] + 0.5) * scale, (points[k + 1] + 0.5) * scale);
      pen.lineWidth = 4;
      pen.lineJoin = pen.lineCap = "round";
      pen.strokeStyle = ORANGE;
      pen.stroke();
    });
  }
}

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

function tick(seconds, all, label) {
  const mark = element("span", { textContent: label });
  mark.style.left = `${(100 * seconds) / all}%`;
  return mark;
}

function choice(name, options, chosen, take) {
  const group = element("span", { className: "group" });
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", name);
  for (const [value, label] of options) {
    const button = element("button", { type: "button", textContent: label });
    button.dataset.value = value;
    button.setAttribute("aria-pressed", String(value === chosen));
    button.addEventListener("click", () => {
      for (const other of group.children) other.setAttribute("aria-pressed", String(other === button));
      take(value);
    });
    group.append(button);
  }
  return group;
}

if (!customElements.get("uti-player")) customElements.define("uti-player", Player);
