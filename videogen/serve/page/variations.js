// Several videos of one prompt, each with another seed: jobs of the server, whose results come to the kept videos.

import { createVideo, video } from "./api.js";
import { found, recordOf, storable } from "./keeping.js";
import { stillOfFilm } from "./stills.js";

const LOOK_AGAIN = 1000; // milliseconds
const PATIENCE = 20; // looks in a row that may fail

export class Variations {
  #followed = new Set(); // ids

  /** `on` has ready(), once for each of them, and failed(error). */
  constructor(library, gallery, on) {
    Object.assign(this, { library, gallery, on });
  }

  /** Ask for `count` of them, from the first seed on or with seeds of the server's; returns the server's remark. */
  async make(count, wish, about) {
    const seed = (number) => (wish.seed === undefined ? {} : { seed: wish.seed + number });
    let note = "";
    for (let number = 0; number < count; number += 1) {
      const job = await createVideo({ ...wish, ...seed(number) }, about.beginning);
      const unfinished = { id: job.id, kind: "job", about: storable({ ...about, prompts: [{ seconds: 0, prompt: about.prompt }] }) };
      await this.library.put("unfinished", unfinished).catch(() => {}); // then a page that is loaded again does not find it
      this.follow(unfinished);
      note = job.note;
    }
    return note;
  }

  /** Also those of another tab. */
  async cancelAll() {
    const jobs = (await this.library.all("unfinished")).filter(({ kind }) => kind === "job");
    await Promise.all(jobs.map(({ id }) => this.#end(id)));
  }

  /** Show how one is getting on until it can be kept. */
  async follow({ id, about }) {
    if (this.#followed.has(id)) return; // the browser's button Back has led here
    this.#followed.add(id);
    let cancelled = false;
    const place = this.gallery.expect(about.prompt, () => {
      cancelled = true;
      place.done();
      this.#end(id);
    });
    place.show("Waiting", null);
    try {
      const job = await this.#finished(id, place, () => cancelled);
      if (job) await this.#keep(job, about);
      if (!cancelled) await this.#end(id);
      if (job) this.on.ready();
    } catch (error) {
      if (error instanceof JobFailed) await this.#end(id); // what has only not been reached is looked for after a reload
      this.on.failed(error);
    }
    place.done();
  }

  /** The job once it is completed; null where it is not there any more. */
  async #finished(id, place, cancelled) {
    for (let failures = 0; !cancelled(); ) {
      try {
        const job = await found(() => video.get(id));
        if (!job || job.status === "completed") return job;
        if (job.status === "failed") throw new JobFailed(job.error?.message);
        place.show(...(job.status === "queued" ? ["Waiting", null] : [`${job.progress} %`, job.progress / 100]));
        failures = 0;
      } catch (error) {
        failures += 1;
        if (error instanceof JobFailed || error.status === 401 || failures > PATIENCE) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
    }
    return null;
  }

  async #keep(job, about) {
    const film = await video.content(job.id);
    await this.gallery.add(await recordOf(job.id, about, job.seed, film, await stillOfFilm(film), job.frames / job.fps));
  }

  /** The server need not keep it, nor this browser look for it. */
  async #end(id) {
    await this.library.remove("unfinished", id).catch(() => {});
    await video.remove(id).catch(() => {}); // it may be gone already
  }
}

class JobFailed extends Error {
  constructor(reason) {
    super(reason ? `One of the variations failed: ${reason}` : "One of the variations failed on the server.");
  }
}
