// The fragmented mp4 of a stream, played by MediaSource while it is made.

import { Failure, stream } from "./api.js";
import { chunksOf } from "./records.js";

const BEHIND = 2; // seconds: a film that lags more jumps ahead
const KEPT = 30; // seconds of it that the browser keeps

export class Film {
  #left = null;
  #url = null;

  constructor(video) {
    this.video = video;
  }

  static plays(mime) {
    return "MediaSource" in window && Boolean(mime) && MediaSource.isTypeSupported(mime);
  }

  /** Cover the pictures with it, as soon as it has something to show; or uncover them. */
  cover(wanted) {
    const ready = this.#url !== null && this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
    this.video.hidden = !(wanted && ready);
  }

  /** Play until the stream ends or `stop` is called; a Failure if this browser or the line cannot. */
  async play({ id, mime }) {
    this.stop();
    if (!Film.plays(mime)) throw new Failure("This browser cannot play the film of the stream; its pictures go on.");
    const left = (this.#left = new AbortController());
    const source = new MediaSource();
    this.#url = URL.createObjectURL(source);
    this.video.src = this.#url;
    await happened(source, "sourceopen");
    try {
      await this.#feed(source, source.addSourceBuffer(mime), id, left.signal);
    } catch (error) {
      if (!left.signal.aborted) throw error instanceof Failure ? error : new Failure("The film was cut off.");
    }
  }

  stop() {
    this.#left?.abort();
    this.#left = null;
    this.video.hidden = true;
    if (!this.#url) return;
    this.video.removeAttribute("src");
    this.video.load();
    URL.revokeObjectURL(this.#url);
    this.#url = null;
  }

  pause(paused) {
    if (paused) this.video.pause();
    else if (this.#url) this.video.play().catch(() => {}); // it begins once there is something to play
  }

  async #feed(source, buffer, id, signal) {
    const response = await stream.film(id, signal);
    this.pause(false);
    for await (const chunk of chunksOf(response.body)) {
      if (signal.aborted) return;
      await act(buffer, () => buffer.appendBuffer(chunk));
      this.#keepUp();
      await this.#forget(buffer);
    }
    if (source.readyState === "open") source.endOfStream();
  }

  /** A film joined late begins late; one that lags catches up. */
  #keepUp() {
    const { buffered, currentTime, paused } = this.video;
    if (!buffered.length) return;
    const end = buffered.end(buffered.length - 1);
    const outside = currentTime < buffered.start(0);
    if (outside || (!paused && end - currentTime > BEHIND)) this.video.currentTime = Math.max(buffered.start(0), end - 0.3);
  }

  async #forget(buffer) {
    const until = this.video.currentTime - KEPT;
    if (until > KEPT && buffer.buffered.length && buffer.buffered.start(0) < until - KEPT) {
      await act(buffer, () => buffer.remove(0, until));
    }
  }
}

async function act(buffer, action) {
  const done = happened(buffer, "updateend");
  action();
  await done;
}

function happened(target, name) {
  return new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));
}
