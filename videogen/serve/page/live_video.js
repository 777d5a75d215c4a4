// The fragmented mp4 of a stream, played with MediaSource while it is generated.

import { ApiError, stream } from "./api.js";
import { chunksOf } from "./preview_records.js";

const MAX_LAG = 2; // seconds: beyond this, playback jumps forward
const KEEP_BEHIND = 30; // seconds that stay in the browser's buffer

export class LiveVideo {
  #abort = null;
  #url = null;

  constructor(video) {
    this.video = video;
  }

  static canPlay(mime) {
    return "MediaSource" in window && Boolean(mime) && MediaSource.isTypeSupported(mime);
  }

  /** Cover the frames with the video once it has something to show, or uncover them. */
  cover(wanted) {
    const ready = this.#url !== null && this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
    this.video.hidden = !(wanted && ready);
  }

  /** Play until the stream ends or `stop` is called; throws an ApiError if the browser or the connection fails. */
  async play({ id, mime }) {
    this.stop();
    if (!LiveVideo.canPlay(mime)) throw new ApiError("This browser cannot play the video of the stream; the frames continue.");
    const abort = (this.#abort = new AbortController());
    const source = new MediaSource();
    this.#url = URL.createObjectURL(source);
    this.video.src = this.#url;
    await eventOf(source, "sourceopen");
    try {
      await this.#feed(source, source.addSourceBuffer(mime), id, abort.signal);
    } catch (error) {
      if (!abort.signal.aborted) throw error instanceof ApiError ? error : new ApiError("The video was interrupted.");
    }
  }

  stop() {
    this.#abort?.abort();
    this.#abort = null;
    this.video.hidden = true;
    if (!this.#url) return;
    this.video.removeAttribute("src");
    this.video.load();
    URL.revokeObjectURL(this.#url);
    this.#url = null;
  }

  pause(paused) {
    if (paused) this.video.pause();
    else if (this.#url) this.video.play().catch(() => {}); // starts once there is data
  }

  async #feed(source, sourceBuffer, id, signal) {
    const response = await stream.video(id, signal);
    this.pause(false);
    for await (const chunk of chunksOf(response.body)) {
      if (signal.aborted) return;
      await update(sourceBuffer, () => sourceBuffer.appendBuffer(chunk));
      this.#catchUp();
      await this.#trim(sourceBuffer);
    }
    if (source.readyState === "open") source.endOfStream();
  }

  /** Jump into the buffered range after a late start or a long lag. */
  #catchUp() {
    const { buffered, currentTime, paused } = this.video;
    if (!buffered.length) return;
    const end = buffered.end(buffered.length - 1);
    const outside = currentTime < buffered.start(0);
    if (outside || (!paused && end - currentTime > MAX_LAG)) this.video.currentTime = Math.max(buffered.start(0), end - 0.3);
  }

  async #trim(sourceBuffer) {
    const until = this.video.currentTime - KEEP_BEHIND;
    if (until > KEEP_BEHIND && sourceBuffer.buffered.length && sourceBuffer.buffered.start(0) < until - KEEP_BEHIND) {
      await update(sourceBuffer, () => sourceBuffer.remove(0, until));
    }
  }
}

async function update(sourceBuffer, action) {
  const done = eventOf(sourceBuffer, "updateend");
  action();
  await done;
}

function eventOf(target, name) {
  return new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));
}
