// Several videos of one prompt, each with its own seed: jobs on the server, whose results are saved to the gallery.

import { createVideo, video } from "./api.js";
import { orNull, videoRecord, withoutLargeSource } from "./saving.js";
import { thumbnailOfVideo } from "./thumbnails.js";

const POLL_INTERVAL = 1000; // milliseconds
const MAX_FAILED_POLLS = 20; // in a row

export class Variations {
  #followed = new Set(); // ids

  /** `on` has ready(), called once per variation, and failed(error). */
  constructor(library, gallery, on) {
    Object.assign(this, { library, gallery, on });
  }

  /** Request `count` variations, with consecutive seeds if one is given; returns the server's note. */
  async make(count, params, request) {
    const seed = (number) => (params.seed === undefined ? {} : { seed: params.seed + number });
    let note = "";
    for (let number = 0; number < count; number += 1) {
      const job = await createVideo({ ...params, ...seed(number) }, request.source);
      const unfinished = { id: job.id, kind: "job", request: withoutLargeSource({ ...request, prompts: [{ seconds: 0, prompt: request.prompt }] }) };
      await this.library.put("unfinished", unfinished).catch(() => {}); // then it cannot be recovered after a reload
      this.follow(unfinished);
      note = job.note;
    }
    return note;
  }

  /** Includes those of other tabs. */
  async cancelAll() {
    const jobs = (await this.library.all("unfinished")).filter(({ kind }) => kind === "job");
    await Promise.all(jobs.map(({ id }) => this.#end(id)));
  }

  /** Show the progress of a job until it can be saved. */
  async follow({ id, request }) {
    if (this.#followed.has(id)) return; // the page was restored by the Back button
    this.#followed.add(id);
    let cancelled = false;
    const placeholder = this.gallery.addPlaceholder(request.prompt, () => {
      cancelled = true;
      placeholder.done();
      this.#end(id);
    });
    placeholder.show("Waiting", null);
    try {
      const job = await this.#finished(id, placeholder, () => cancelled);
      if (job) await this.#save(job, request);
      if (!cancelled) await this.#end(id);
      if (job) this.on.ready();
    } catch (error) {
      if (error instanceof JobFailed) await this.#end(id); // after a network error the job is recovered by a reload
      this.on.failed(error);
    }
    placeholder.done();
  }

  /** The job once it is completed; null if it no longer exists. */
  async #finished(id, placeholder, cancelled) {
    for (let failures = 0; !cancelled(); ) {
      try {
        const job = await orNull(() => video.get(id));
        if (!job || job.status === "completed") return job;
        if (job.status === "failed") throw new JobFailed(job.error?.message);
        placeholder.show(...(job.status === "queued" ? ["Waiting", null] : [`${job.progress} %`, job.progress / 100]));
        failures = 0;
      } catch (error) {
        failures += 1;
        if (error instanceof JobFailed || error.status === 401 || failures > MAX_FAILED_POLLS) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
    }
    return null;
  }

  async #save(job, request) {
    const mp4 = await video.content(job.id);
    await this.gallery.add(await videoRecord(job.id, request, job.seed, mp4, await thumbnailOfVideo(mp4), job.frames / job.fps));
  }

  /** Delete the job from the server and from the list of unfinished requests. */
  async #end(id) {
    await this.library.remove("unfinished", id).catch(() => {});
    await video.remove(id).catch(() => {}); // it may be deleted already
  }
}

class JobFailed extends Error {
  constructor(reason) {
    super(reason ? `A variation failed: ${reason}` : "A variation failed on the server.");
  }
}
