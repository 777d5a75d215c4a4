// Saves streams as videos in this browser: when they end, on request, and after a reload.

import { ApiError, stream } from "./api.js";
import { fileName, saveAs } from "./dom.js";
import { asJpeg, thumbnailOf, thumbnailOfVideo } from "./thumbnails.js";

const MAX_SOURCE_BYTES = 16 * 2 ** 20; // a larger source is not stored with the video
const POLL_INTERVAL = 3000; // milliseconds

export class VideoSaver {
  #saved = new Map(); // id of a stream -> number of the last frame that was saved

  constructor(library, gallery, canvas, fps, longest) {
    Object.assign(this, { library, gallery, canvas, fps, longest });
  }

  /** Note that a session runs, so that the page can recover its video from the server after a reload. */
  begin({ info, request }) {
    return this.library.put("unfinished", { id: info.id, kind: "stream", request: withoutLargeSource(request) }).catch(() => {}); // then it cannot be recovered
  }

  end({ info }) {
    return this.library.remove("unfinished", info.id).catch(() => {});
  }

  /** Save a stream so far; does nothing if it has not grown since it was last saved. */
  async save({ info, request }, buffer, thumbnail = thumbnailOf(this.canvas)) {
    if (this.#saved.get(info.id) === buffer.last) return;
    const [last, marks] = [buffer.last, [...buffer.marks]];
    const duration = this.#durationOf(buffer);
    const mp4 = await this.#fetch(info.id, duration);
    this.#saved.set(info.id, last);
    await this.#add({ info, request, mp4, thumbnail, duration, last, marks });
  }

  async download({ info }, buffer) {
    saveAs(await this.#fetch(info.id, this.#durationOf(buffer)), fileName(buffer.prompts[0] ?? "", "mp4"));
  }

  /** Save a stream whose page was closed; while another tab runs it, that tab saves it. */
  async recover({ id, request }) {
    for (;;) {
      const info = await orNull(() => stream.get(id));
      if (info && !["stopped", "failed"].includes(info.status)) {
        await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
        if (await this.library.has("unfinished", id)) continue;
        return;
      }
      const frames = info?.stats.frames ?? 0;
      if (frames) await this.#saveRecovered(info, request, frames);
      return this.library.remove("unfinished", id);
    }
  }

  async #saveRecovered(info, request, frames) {
    const duration = Math.min(frames / this.fps, this.longest);
    const mp4 = await orNull(() => this.#fetch(info.id, duration));
    if (!mp4) return;
    const thumbnail = await thumbnailOfVideo(mp4);
    await this.#add({ info, request, mp4, thumbnail, duration, last: frames - 1, marks: info.marks });
  }

  /** The same part of a stream has the same id, so that a longer version replaces a shorter one. */
  async #add({ info, request, mp4, thumbnail, duration, last, marks }) {
    const first = Math.max(0, last + 1 - Math.round(duration * this.fps));
    const start = Math.max(0, marks.findLastIndex(({ frame }) => frame <= first));
    const prompts = marks.slice(start).map(({ frame, prompt }) => ({ seconds: Math.max(0, frame - first) / this.fps, prompt }));
    await this.gallery.add(await videoRecord(`${info.id} ${first}`, { ...request, prompts }, info.seed, mp4, thumbnail, duration));
  }

  #durationOf(buffer) {
    return Math.min((buffer.last - buffer.first + 1) / this.fps, this.longest);
  }

  #fetch(id, duration) {
    return stream.recent(id, Math.min(Math.ceil(duration), this.longest));
  }
}

/** A video as it is stored, with the request that it was generated from. */
export async function videoRecord(id, request, seed, mp4, thumbnail, duration) {
  return { ...withoutLargeSource(request), id, createdAt: Date.now(), seed, mp4, thumbnail: await asJpeg(thumbnail), duration };
}

/** Drops the file that a video continues if it is too large to store; its name stays. */
export function withoutLargeSource(request) {
  const { source } = request;
  const small = !source?.blob || source.blob.size <= MAX_SOURCE_BYTES;
  return small ? request : { ...request, source: { ...source, blob: null } };
}

/** The result of an API call; null if the server answers 404. */
export async function orNull(call) {
  try {
    return await call();
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}
