// View options: frames or video, crisp or smooth scaling, and where the token grid is. Stored in the browser.

import { byId } from "./dom.js";
import { loadItem, storeItem } from "./local_storage.js";

const SMALL_WIDTH = 96; // pixels
const NAMES = ["playback", "scaling", "tokens"];

export class ViewOptions {
  /** Calls `onPlayback` with "frames" or "video" when that changes. */
  constructor(stage, onPlayback) {
    Object.assign(this, { stage, onPlayback });
    for (const name of NAMES) {
      const stored = loadItem(name);
      if (stored && radio(name, stored)) radio(name, stored).checked = true;
      this.#apply(name);
    }
    byId("view").addEventListener("change", (event) => this.#onChange(event.target.name));
    byId("fullscreen").addEventListener("click", () => this.#toggleFullscreen());
    byId("fullscreen").hidden = !document.fullscreenEnabled;
  }

  get playback() {
    return chosen("playback");
  }

  set playback(value) {
    radio("playback", value).checked = true;
    storeItem("playback", value);
  }

  /** Fit the stage to a frame size; small frames are scaled by whole numbers, so that all pixels have one size. */
  fit(width, height) {
    const { style } = document.documentElement;
    style.setProperty("--wide", String(width));
    style.setProperty("--high", String(height));
    style.setProperty("--snap", width <= SMALL_WIDTH ? `${width}px` : "1px");
  }

  #onChange(name) {
    storeItem(name, chosen(name));
    this.#apply(name);
    if (name === "playback") this.onPlayback(chosen(name));
  }

  #apply(name) {
    if (name !== "playback") this.stage.dataset[name] = chosen(name);
  }

  #toggleFullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.stage.requestFullscreen().catch(() => {}); // the browser shows why it refused
  }
}

function radio(name, value) {
  return document.querySelector(`input[name="${name}"][value="${CSS.escape(value)}"]`);
}

function chosen(name) {
  return document.querySelector(`input[name="${name}"]:checked`).value;
}
