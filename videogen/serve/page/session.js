// One stream from the wish to its end: opened, watched, changed, paused, stopped. It shows nothing by itself.
//
// It tells its listener, by the methods named here: state(session), record(record), failed(failure).

import { Failure, openStream, stream } from "./api.js";
import { chunksOf, records } from "./records.js";

const PATIENCE = [300, 1000, 3000]; // milliseconds before each further attempt, when the line is cut

export class Session {
  state = "opening"; // then queued, playing, paused, and at last stopped or failed
  facts = null; // the stream as the server describes it
  ended = false; // by itself: at its wished length, or by a failure
  #left = new AbortController();

  /** `about` is what the video was asked for with, for whoever keeps it. */
  constructor(listener, about) {
    Object.assign(this, { listener, about });
    this.began = performance.now();
  }

  get over() {
    return this.state === "stopped" || this.state === "failed";
  }

  async open(wish, beginning) {
    this.facts = await openStream(wish, beginning, this.#left.signal);
    this.#turn(this.facts.status);
    this.#watch();
  }

  async change(changes) {
    this.facts = await stream.change(this.facts.id, changes);
    if (!this.over) this.#turn(this.facts.status);
  }

  /** Nothing more is made, and the page listens no longer; what was made the server still gives out for a while. */
  async stop() {
    this.leave();
    if (this.facts) await stream.close(this.facts.id);
  }

  /** For a page that is being closed: the server hears of it even so. */
  leaveForGood() {
    const known = this.facts && !this.over;
    this.leave();
    if (known) stream.close(this.facts.id, true).catch(() => {});
  }

  leave() {
    this.#left.abort();
    if (!this.over) this.#turn("stopped");
  }

  #turn(state) {
    this.state = state;
    this.listener.state(this);
  }

  async #watch() {
    for (let attempt = 0; !this.over; attempt += 1) {
      try {
        if (await this.#read(() => (attempt = 0))) return;
        await this.#ask(); // the line was cut: does the stream still exist?
      } catch (error) {
        if (this.over || error.name === "AbortError") return;
        const lasting = error instanceof Failure && error.status >= 400 && error.status < 500;
        if (lasting || attempt >= PATIENCE.length) return this.#fail(error);
      }
      await pause(PATIENCE[Math.min(attempt, PATIENCE.length - 1)]);
    }
  }

  /** All records until the line is cut (false) or the stream has ended (true). */
  async #read(onRecord) {
    const response = await stream.preview(this.facts.id, this.#left.signal);
    for await (const record of records(chunksOf(response.body))) {
      if (this.over) return true;
      onRecord();
      if (record.kind === "end") return this.#end(record.data);
      if (record.kind === "turn") this.#told(record.data);
      else this.listener.record(record);
    }
    return false;
  }

  /** It has the model's turns, or a place in the queue for them: while others wait, it has them for a while only. */
  #told({ status, queue_place }) {
    Object.assign(this.facts, { status, queue_place });
    this.#turn(status);
  }

  #end(data) {
    if (data.status === "failed" || data.error) {
      this.#fail(new Failure(messageOf(data.error) ?? "The stream has failed on the server."));
    } else {
      this.ended = true;
      this.#turn("stopped");
    }
    return true;
  }

  #fail(error) {
    const failure = error instanceof Failure ? error : new Failure("The line to the server was cut.");
    this.ended = true;
    this.#turn("failed");
    this.#left.abort();
    this.listener.failed(failure);
  }

  async #ask() {
    const facts = await stream.get(this.facts.id);
    if (this.over) return;
    this.facts = facts;
    if (facts.status === "failed") this.#end({ status: "failed", error: facts.error });
    else this.#turn(facts.status);
  }
}

function messageOf(error) {
  return typeof error === "string" ? error : error?.message;
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
