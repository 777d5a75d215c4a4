// How the video is looked at: pictures or film, crisp or smooth, and where the tokens are. Remembered by the browser.

import { byId } from "./dom.js";
import { recall, remember } from "./remembered.js";

const SMALL = 96; // pixels
const NAMES = ["playback", "scaling", "tokens"];

export class View {
  /** `onPlayback` is told "pictures" or "film" when that changes. */
  constructor(stage, onPlayback) {
    Object.assign(this, { stage, onPlayback });
    for (const name of NAMES) {
      const before = recall(name);
      if (before && radio(name, before)) radio(name, before).checked = true;
      this.#apply(name);
    }
    byId("view").addEventListener("change", (event) => this.#onChange(event.target.name));
    byId("whole").addEventListener("click", () => this.#toggleWhole());
    byId("whole").hidden = !document.fullscreenEnabled;
  }

  get playback() {
    return chosen("playback");
  }

  set playback(value) {
    radio("playback", value).checked = true;
    remember("playback", value);
  }

  /** Make room for pictures of a size; small ones are enlarged by whole numbers, so that all their pixels are alike. */
  fit(width, height) {
    const { style } = document.documentElement;
    style.setProperty("--wide", String(width));
    style.setProperty("--high", String(height));
    style.setProperty("--snap", width <= SMALL ? `${width}px` : "1px");
  }

  #onChange(name) {
    remember(name, chosen(name));
    this.#apply(name);
    if (name === "playback") this.onPlayback(chosen(name));
  }

  #apply(name) {
    if (name !== "playback") this.stage.dataset[name] = chosen(name);
  }

  #toggleWhole() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.stage.requestFullscreen().catch(() => {}); // refused by the browser: it says so itself
  }
}

function radio(name, value) {
  return document.querySelector(`input[name="${name}"][value="${CSS.escape(value)}"]`);
}

function chosen(name) {
  return document.querySelector(`input[name="${name}"]:checked`).value;
}
