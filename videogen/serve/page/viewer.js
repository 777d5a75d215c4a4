// One of the kept videos, large, with everything that it was made with.

import { byId, fileName, make, setText } from "./dom.js";
import { seconds, shortened } from "./words.js";

export class Viewer {
  /** `on` has continueFrom({kind, blob, name}), again(video) and settingsOf(video): pairs of a name and a value. */
  constructor(on) {
    this.on = on;
    this.dialog = byId("viewer");
    byId("viewer-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.#closed());
  }

  open(video) {
    const url = URL.createObjectURL(video.film);
    byId("viewer-video").src = url;
    setText(byId("viewer-title"), shortened(promptOf(video), 120));
    byId("viewer-facts").replaceChildren(...this.#facts(video));
    Object.assign(byId("viewer-download"), { href: url, download: fileName(promptOf(video), "mp4") });
    this.#leadTo("viewer-continue", () => this.continueFrom(video));
    this.#leadTo("viewer-again", () => this.on.again(video));
    this.dialog.showModal();
    byId("viewer-video").play().catch(() => {}); // the person can begin it
  }

  continueFrom(video) {
    this.on.continueFrom({ kind: "clip", blob: video.film, name: fileName(promptOf(video), "mp4") });
  }

  #leadTo(id, act) {
    byId(id).onclick = () => {
      this.dialog.close();
      act();
    };
  }

  #facts(video) {
    const prompts = video.prompts.map((one) => [`From ${seconds(one.seconds)}`, one.prompt || "without a prompt"]);
    const from = video.beginning ? [["Continued from", video.beginning.name]] : [];
    const made = [["Model", video.model], ["Made", new Date(video.made).toLocaleString()]];
    const rows = [...prompts, ...from, ["Seed", String(video.seed)], ...this.on.settingsOf(video), ...made];
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

/** All that a video was told, in one line. */
export function promptOf({ prompts }) {
  return prompts.map(({ prompt }) => prompt).filter(Boolean).join(" → ") || "without a prompt";
}
