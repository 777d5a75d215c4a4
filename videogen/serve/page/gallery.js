// The videos of this session: kept in the page's memory, until it is closed.

import { byId, fileName, icon, make, saveAs, setText } from "./dom.js";
import { seconds, shortened, size } from "./words.js";

const MOST = 24;
const MOST_BYTES = 256 * 2 ** 20;

export class Gallery {
  #kept = []; // {prompt, blob, length, element}, newest first

  /** `onContinue` is told {kind, blob, name} of a video that shall go on. */
  constructor(onContinue) {
    this.onContinue = onContinue;
    this.dialog = byId("viewer");
    byId("viewer-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.#closed());
  }

  /** Keep an mp4 of so many seconds, with a canvas of its own that stands for it; the oldest make room. */
  add({ prompt, blob, length, still }) {
    const video = { prompt, blob, length };
    video.element = this.#item(video, still);
    this.#kept.unshift(video);
    byId("gallery").prepend(video.element);
    while (this.#kept.length > MOST || (this.#kept.length > 1 && this.#bytes() > MOST_BYTES)) {
      this.#remove(this.#kept.at(-1));
    }
    byId("gallery-empty").hidden = true;
  }

  #bytes() {
    return this.#kept.reduce((sum, { blob }) => sum + blob.size, 0);
  }

  #item(video, picture) {
    const words = shortened(video.prompt || "without a prompt", 80);
    const facts = make("span", { className: "facts", textContent: `${seconds(video.length)}, ${size(video.blob.size)}` });
    const open = make("button", { type: "button", className: "kept", "aria-label": `Watch: ${words}`, title: words });
    open.append(picture, facts);
    open.addEventListener("click", () => this.#watch(video));
    const act = (name, label, action) => {
      const button = make("button", { type: "button", className: "icon quiet", "aria-label": `${label}: ${words}`, title: label }, [icon(name)]);
      button.addEventListener("click", action);
      return button;
    };
    const tools = make("span", { className: "kept-tools" }, [
      act("download", "Download", () => saveAs(video.blob, fileName(video.prompt, "mp4"))),
      act("branch", "Continue it", () => this.#continue(video)),
      act("remove", "Remove", () => this.#remove(video)),
    ]);
    return make("li", {}, [open, make("p", { textContent: words }), tools]);
  }

  #continue(video) {
    this.onContinue({ kind: "clip", blob: video.blob, name: fileName(video.prompt, "mp4") });
  }

  #remove(video) {
    const next = video.element.nextElementSibling ?? video.element.previousElementSibling;
    const focused = video.element.contains(document.activeElement);
    this.#kept = this.#kept.filter((other) => other !== video);
    video.element.remove();
    byId("gallery-empty").hidden = this.#kept.length > 0;
    if (focused) (next?.querySelector("button") ?? byId("prompt")).focus();
  }

  #watch(video) {
    const url = URL.createObjectURL(video.blob);
    byId("viewer-video").src = url;
    setText(byId("viewer-title"), shortened(video.prompt || "Video", 120));
    Object.assign(byId("viewer-download"), { href: url, download: fileName(video.prompt, "mp4") });
    byId("viewer-continue").onclick = () => {
      this.dialog.close();
      this.#continue(video);
    };
    this.dialog.showModal();
    byId("viewer-video").play().catch(() => {}); // the person can begin it
  }

  #closed() {
    const video = byId("viewer-video");
    video.pause();
    URL.revokeObjectURL(video.src);
    video.removeAttribute("src");
    video.load();
  }
}

/** What a canvas shows now. */
export function stillOf(canvas) {
  const copy = make("canvas", { width: canvas.width, height: canvas.height, "aria-hidden": "true" });
  copy.getContext("2d").drawImage(canvas, 0, 0);
  return copy;
}
