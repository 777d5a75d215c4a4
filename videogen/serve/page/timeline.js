// Time as a slider: where one is, how far back one can go, and where the prompt changed.

import { byId, make, setText } from "./dom.js";
import { seconds, shortened, spokenSeconds } from "./words.js";

const slider = byId("scrub");
const marks = byId("marks");

export class Timeline {
  #shownMarks = new Map(); // a mark of the reel -> its button

  /** `onSeek` is told the number of the picture that is asked for, `onHold` whether the slider is being held. */
  constructor(onSeek, onHold) {
    this.onSeek = onSeek;
    slider.addEventListener("input", () => onSeek(Number(slider.value)));
    slider.addEventListener("pointerdown", () => onHold(true));
    for (const name of ["pointerup", "pointercancel"]) slider.addEventListener(name, () => onHold(false));
    byId("live").addEventListener("click", () => onSeek(Infinity));
  }

  load(reel, fps) {
    Object.assign(this, { reel, fps });
    this.#shownMarks.clear();
    marks.replaceChildren();
    setText(byId("caption"), "");
  }

  /** Show the picture `number`, and whether the newest is followed. */
  show(number, following) {
    const { first, last } = this.reel;
    Object.assign(slider, { min: first, max: Math.max(last, first + 1), value: number, disabled: false });
    slider.setAttribute("aria-valuetext", `${spokenSeconds(number / this.fps)}${following ? ", newest" : ""}`);
    slider.style.setProperty("--part", String((number - first) / Math.max(1, last - first)));
    setText(byId("clock"), seconds(number / this.fps));
    byId("live").setAttribute("aria-pressed", String(following));
    this.#showMarks(first, last);
    setText(byId("caption"), this.reel.promptAt(number));
  }

  #showMarks(first, last) {
    const begun = this.reel.marks.findLastIndex(({ picture }) => picture <= first); // the one that holds at the left end
    for (const [place, mark] of this.reel.marks.entries()) {
      if (!this.#shownMarks.has(mark)) this.#shownMarks.set(mark, this.#button(mark));
      const button = this.#shownMarks.get(mark);
      const part = Math.max(0, mark.picture - first) / Math.max(1, last - first);
      button.hidden = place < begun || part > 1; // forgotten, or not made yet
      button.style.setProperty("--part", String(part));
    }
  }

  #button({ picture, prompt }) {
    const text = `${seconds(picture / this.fps)}: ${shortened(prompt, 120)}`;
    const button = make("button", { type: "button", className: "tick", title: text, "aria-label": `Go to ${text}` });
    button.addEventListener("click", () => this.onSeek(picture));
    marks.append(button);
    return button;
  }
}
