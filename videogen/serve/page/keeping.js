// From a stream on the server to a video of this browser: when it ends, when it is bookmarked, and after a reload.

import { Failure, stream } from "./api.js";
import { fileName, saveAs } from "./dom.js";
import { asJpeg, stillOf, stillOfFilm } from "./stills.js";

const LARGEST_BEGINNING = 16 * 2 ** 20; // bytes of a clip that is kept with what was made from it
const LOOK_AGAIN = 3000; // milliseconds

export class Keeping {
  #kept = new Map(); // of a stream: how many of its pictures were kept last

  constructor(library, gallery, canvas, fps, longest) {
    Object.assign(this, { library, gallery, canvas, fps, longest });
  }

  /** Remember that a session runs, so that a page that is loaded again finds its video on the server. */
  begin({ facts, about }) {
    return this.library.put("unfinished", { id: facts.id, kind: "stream", about: storable(about) }).catch(() => {}); // then it is not found
  }

  end({ facts }) {
    return this.library.remove("unfinished", facts.id).catch(() => {});
  }

  /** Put it among the videos, with a still of now; one that has not grown is not kept twice. */
  async keep({ facts, about }, reel, still = stillOf(this.canvas)) {
    if (this.#kept.get(facts.id) === reel.last) return;
    const [last, marks] = [reel.last, [...reel.marks]];
    const length = this.#length(reel);
    const film = await this.#film(facts.id, length);
    this.#kept.set(facts.id, last);
    await this.#add({ facts, about, film, still, length, last, marks });
  }

  async download({ facts }, reel) {
    saveAs(await this.#film(facts.id, this.#length(reel)), fileName(reel.story[0] ?? "", "mp4"));
  }

  /** A video whose page was closed; as long as another tab makes it, it is that tab's. */
  async recover({ id, about }) {
    for (;;) {
      const facts = await found(() => stream.get(id));
      if (facts && !["stopped", "failed"].includes(facts.status)) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
        if (await this.library.has("unfinished", id)) continue;
        return;
      }
      const pictures = facts?.figures.pictures ?? 0;
      if (pictures) await this.#fetched(facts, about, pictures);
      return this.library.remove("unfinished", id);
    }
  }

  async #fetched(facts, about, pictures) {
    const length = Math.min(pictures / this.fps, this.longest);
    const film = await found(() => this.#film(facts.id, length));
    if (!film) return;
    const still = await stillOfFilm(film);
    await this.#add({ facts, about, film, still, length, last: pictures - 1, marks: facts.marks });
  }

  /** The same part of a stream has the same id: what has grown replaces what was kept of it. */
  async #add({ facts, about, film, still, length, last, marks }) {
    const first = Math.max(0, last + 1 - Math.round(length * this.fps));
    const begun = Math.max(0, marks.findLastIndex(({ picture }) => picture <= first));
    const prompts = marks.slice(begun).map(({ picture, prompt }) => ({ seconds: Math.max(0, picture - first) / this.fps, prompt }));
    await this.gallery.add(await recordOf(`${facts.id} ${first}`, { ...about, prompts }, facts.seed, film, still, length));
  }

  #length(reel) {
    return Math.min((reel.last - reel.first + 1) / this.fps, this.longest);
  }

  #film(id, length) {
    return stream.recent(id, Math.min(Math.ceil(length), this.longest));
  }
}

/** A video as it is stored; `about` says what was asked for. */
export async function recordOf(id, about, seed, film, still, length) {
  return { ...storable(about), id, made: Date.now(), seed, film, still: await asJpeg(still), length };
}

/** Without the clip that a video went on from, where that is too large; its name stays. */
export function storable(about) {
  const { beginning } = about;
  const small = !beginning?.blob || beginning.blob.size <= LARGEST_BEGINNING;
  return small ? about : { ...about, beginning: { ...beginning, blob: null } };
}

/** What the server has; null where it has it no more. */
export async function found(act) {
  try {
    return await act();
  } catch (error) {
    if (error instanceof Failure && error.status === 404) return null;
    throw error;
  }
}
