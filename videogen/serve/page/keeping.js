// What there is of a stream as an mp4: for a download, and for the videos of this session.

import { stream } from "./api.js";
import { fileName, saveAs } from "./dom.js";
import { stillOf } from "./gallery.js";

export class Keeping {
  #kept = new Map(); // of a stream: how many of its pictures were kept last

  constructor(gallery, canvas, fps, longest) {
    Object.assign(this, { gallery, canvas, fps, longest });
  }

  /** Put it among the videos of this session, a still of now before it; one that has not grown is not kept twice. */
  async keep(id, reel, still = stillOf(this.canvas)) {
    if (this.#kept.get(id) === reel.last) return;
    const [last, prompt] = [reel.last, reel.story.filter(Boolean).join(" → ")];
    const length = this.#length(reel);
    const blob = await this.#film(id, length);
    this.#kept.set(id, last);
    this.gallery.add({ prompt, blob, length, still });
  }

  async download(id, reel) {
    saveAs(await this.#film(id, this.#length(reel)), fileName(reel.story[0] ?? "", "mp4"));
  }

  #length(reel) {
    return Math.min((reel.last - reel.first + 1) / this.fps, this.longest);
  }

  #film(id, length) {
    return stream.recent(id, Math.min(Math.ceil(length), this.longest));
  }
}
