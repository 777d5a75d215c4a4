// A dialog with one saved video and the request that it was generated from.

import { byId, fileName, make, setText } from "./dom.js";
import { seconds, shorten } from "./format.js";

export class Viewer {
  /** `on` has continueFrom({kind, blob, name}), reuse(video) and describeSettings(video): pairs of a label and a value. */
  constructor(on) {
    this.on = on;
    this.dialog = byId("viewer");
    byId("viewer-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.#closed());
  }

  open(video) {
    const url = URL.createObjectURL(video.mp4);
    byId("viewer-video").src = url;
    setText(byId("viewer-title"), shorten(promptOf(video), 120));
    byId("viewer-details").replaceChildren(...this.#details(video));
    Object.assign(byId("viewer-download"), { href: url, download: fileName(promptOf(video), "mp4") });
    this.#onClick("viewer-continue", () => this.continueFrom(video));
    this.#onClick("viewer-reuse", () => this.on.reuse(video));
    this.dialog.showModal();
    byId("viewer-video").play().catch(() => {}); // the user can start it
  }

  continueFrom(video) {
    this.on.continueFrom({ kind: "clip", blob: video.mp4, name: fileName(promptOf(video), "mp4") });
  }

  #onClick(id, act) {
    byId(id).onclick = () => {
      this.dialog.close();
      act();
    };
  }

  #details(video) {
    const prompts = video.prompts.map(({ seconds: start, prompt }) => [`From ${seconds(start)}`, prompt || "without a prompt"]);
    const source = video.source ? [["Continued from", video.source.name]] : [];
    const origin = [["Model", video.model], ["Created", new Date(video.createdAt).toLocaleString()]];
    const rows = [...prompts, ...source, ["Seed", String(video.seed)], ...this.on.describeSettings(video), ...origin];
    return rows.map(([name, value]) => make("div", {}, [make("dt", { textContent: name }), make("dd", { textContent: value })]));
  }

  #closed() {
    const video = byId("viewer-video");
    video.pause();
    URL.revokeObjectURL(video.src);
    video.removeAttribute("src");
    video.load();
  }
}

/** All prompts of a video in one line. */
export function promptOf({ prompts }) {
  return prompts.map(({ prompt }) => prompt).filter(Boolean).join(" → ") || "without a prompt";
}
