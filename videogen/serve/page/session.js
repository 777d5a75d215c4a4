// One stream from its request to its end: open, watch, change, pause, stop. Shows nothing itself.
//
// Calls these methods of its listener: state(session), record(record), failed(error).

import { ApiError, openStream, stream } from "./api.js";
import { chunksOf, records } from "./preview_records.js";

const RETRY_DELAYS = [300, 1000, 3000]; // milliseconds before each attempt to reconnect

export class Session {
  state = "opening"; // then queued, playing, paused, and finally stopped or failed
  info = null; // the stream as the server describes it
  endedOnServer = false; // reached its length or failed; not stopped by the user
  #abort = new AbortController();

  /** `request` is stored with the video when it is saved. */
  constructor(listener, request) {
    Object.assign(this, { listener, request });
    this.began = performance.now();
  }

  get over() {
    return this.state === "stopped" || this.state === "failed";
  }

  async open(params, source) {
    this.info = await openStream(params, source, this.#abort.signal);
    this.#setState(this.info.status);
    this.#watch();
  }

  async change(changes) {
    this.info = await stream.change(this.info.id, changes);
    if (!this.over) this.#setState(this.info.status);
  }

  /** Stop generating and watching; the server keeps the frames so far for a while. */
  async stop() {
    this.leave();
    if (this.info) await stream.close(this.info.id);
  }

  /** Stop while the page is being closed: the request outlives the page. */
  leaveForGood() {
    const running = this.info && !this.over;
    this.leave();
    if (running) stream.close(this.info.id, true).catch(() => {});
  }

  leave() {
    this.#abort.abort();
    if (!this.over) this.#setState("stopped");
  }

  #setState(state) {
    this.state = state;
    this.listener.state(this);
  }

  async #watch() {
    for (let attempt = 0; !this.over; attempt += 1) {
      try {
        if (await this.#read(() => (attempt = 0))) return;
        await this.#refresh(); // the connection was lost: does the stream still exist?
      } catch (error) {
        if (this.over || error.name === "AbortError") return;
        const permanent = error instanceof ApiError && error.status >= 400 && error.status < 500;
        if (permanent || attempt >= RETRY_DELAYS.length) return this.#fail(error);
      }
      await sleep(RETRY_DELAYS[Math.min(attempt, RETRY_DELAYS.length - 1)]);
    }
  }

  /** Read records until the connection is lost (false) or the stream ends (true). */
  async #read(onRecord) {
    const response = await stream.preview(this.info.id, this.#abort.signal);
    for await (const record of records(chunksOf(response.body))) {
      if (this.over) return true;
      onRecord();
      if (record.kind === "end") return this.#end(record.data);
      if (record.kind === "queue") this.#onQueue(record.data);
      else this.listener.record(record);
    }
    return false;
  }

  /** The model works on it, or it has a place in the queue: streams take turns while others wait. */
  #onQueue({ status, queue_place }) {
    Object.assign(this.info, { status, queue_place });
    this.#setState(status);
  }

  #end(data) {
    if (data.status === "failed" || data.error) {
      this.#fail(new ApiError(messageOf(data.error) ?? "The stream failed on the server."));
    } else {
      this.endedOnServer = true;
      this.#setState("stopped");
    }
    return true;
  }

  #fail(error) {
    const failure = error instanceof ApiError ? error : new ApiError("The connection to the server was lost.");
    this.endedOnServer = true;
    this.#setState("failed");
    this.#abort.abort();
    this.listener.failed(failure);
  }

  async #refresh() {
    const info = await stream.get(this.info.id);
    if (this.over) return;
    this.info = info;
    if (info.status === "failed") this.#end({ status: "failed", error: info.error });
    else this.#setState(info.status);
  }
}

function messageOf(error) {
  return typeof error === "string" ? error : error?.message;
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
