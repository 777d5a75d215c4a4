// The timeline: a slider over the buffered frames, with marks where the prompt changed.

import { byId, make, setText } from "./dom.js";
import { seconds, shorten, spellSeconds } from "./format.js";

const slider = byId("scrub");
const marks = byId("marks");

export class Timeline {
  #buttons = new Map(); // mark -> its button

  /** Calls `onSeek` with a frame number, and `onDrag` with whether the slider is being dragged. */
  constructor(onSeek, onDrag) {
    this.onSeek = onSeek;
    slider.addEventListener("input", () => onSeek(Number(slider.value)));
    slider.addEventListener("pointerdown", () => onDrag(true));
    for (const name of ["pointerup", "pointercancel"]) slider.addEventListener(name, () => onDrag(false));
    byId("live").addEventListener("click", () => onSeek(Infinity));
  }

  load(buffer, fps) {
    Object.assign(this, { buffer, fps });
    this.#buttons.clear();
    marks.replaceChildren();
    setText(byId("caption"), "");
  }

  /** Show the position, and whether playback follows the newest frame. */
  show(number, following) {
    const { first, last } = this.buffer;
    Object.assign(slider, { min: first, max: Math.max(last, first + 1), value: number, disabled: false });
    slider.setAttribute("aria-valuetext", `${spellSeconds(number / this.fps)}${following ? ", newest" : ""}`);
    slider.style.setProperty("--part", String((number - first) / Math.max(1, last - first)));
    setText(byId("clock"), seconds(number / this.fps));
    byId("live").setAttribute("aria-pressed", String(following));
    this.#showMarks(first, last);
    setText(byId("caption"), this.buffer.promptAt(number));
  }

  #showMarks(first, last) {
    const start = this.buffer.marks.findLastIndex(({ frame }) => frame <= first); // the mark in effect at the left end
    for (const [index, mark] of this.buffer.marks.entries()) {
      if (!this.#buttons.has(mark)) this.#buttons.set(mark, this.#button(mark));
      const button = this.#buttons.get(mark);
      const part = Math.max(0, mark.frame - first) / Math.max(1, last - first);
      button.hidden = index < start || part > 1; // evicted, or not generated yet
      button.style.setProperty("--part", String(part));
    }
  }

  #button({ frame, prompt }) {
    const text = `${seconds(frame / this.fps)}: ${shorten(prompt, 120)}`;
    const button = make("button", { type: "button", className: "tick", title: text, "aria-label": `Go to ${text}` });
    button.addEventListener("click", () => this.onSeek(frame));
    marks.append(button);
    return button;
  }
}
