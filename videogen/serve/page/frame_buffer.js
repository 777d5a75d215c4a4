// The frames of one video that the page holds in memory, and the marks at which its prompt changed.

export const MAX_BYTES = 64 * 2 ** 20;
export const MAX_FRAMES = 20_000;

export class FrameBuffer {
  #frames = []; // {number, jpeg}, in ascending order
  #bytes = 0;
  marks = []; // {frame, prompt}, in ascending order

  constructor(maxBytes = MAX_BYTES, maxFrames = MAX_FRAMES) {
    this.maxBytes = maxBytes;
    this.maxFrames = maxFrames;
  }

  get length() {
    return this.#frames.length;
  }

  get bytes() {
    return this.#bytes;
  }

  get first() {
    return this.length ? this.#frames[0].number : 0;
  }

  get last() {
    return this.length ? this.#frames[this.length - 1].number : 0;
  }

  /** Ignores a frame that was sent again after a reconnect; evicts the oldest frames beyond the limits. */
  add(number, jpeg) {
    if (this.length && number <= this.last) return;
    this.#frames.push({ number, jpeg });
    this.#bytes += jpeg.length;
    let excess = 0;
    while (this.length - excess > 1 && (this.#bytes > this.maxBytes || this.length - excess > this.maxFrames)) {
      this.#bytes -= this.#frames[excess].jpeg.length;
      excess += 1;
    }
    if (excess) this.#frames.splice(0, excess);
  }

  /** The newest frame up to a number, or the oldest in the buffer. */
  at(number) {
    let low = 0;
    let high = this.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#frames[middle].number <= number) low = middle;
      else high = middle - 1;
    }
    return this.#frames[low] ?? null;
  }

  /** Add a mark; false if it was there already. */
  mark(frame, prompt) {
    if (this.marks.some((mark) => mark.frame === frame && mark.prompt === prompt)) return false;
    this.marks.push({ frame, prompt });
    this.marks.sort((one, other) => one.frame - other.frame);
    return true;
  }

  /** The prompts of the frames in the buffer, in order. */
  get prompts() {
    const start = Math.max(0, this.marks.findLastIndex(({ frame }) => frame <= this.first));
    return this.marks.slice(start).map(({ prompt }) => prompt);
  }

  /** The prompt that a frame was generated with. */
  promptAt(number) {
    const before = this.marks.filter((mark) => mark.frame <= number);
    return (before.at(-1) ?? this.marks[0])?.prompt ?? "";
  }
}
