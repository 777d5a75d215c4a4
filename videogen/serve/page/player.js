// Draws buffered frames on a canvas in time. Decodes one frame at a time; the latest request wins.

import { Playhead } from "./playhead.js";

export class Player {
  buffer = null;
  head = null;
  shown = null; // number of the frame on the canvas
  frozen = false; // while the user drags the slider
  #wanted = null;
  #decoding = false;
  #before = 0;

  /** Calls `onFrameShown` after each frame has been drawn, and `onFirstFrame` once per buffer. */
  constructor(canvas, onFrameShown, onFirstFrame) {
    Object.assign(this, { canvas, onFrameShown, onFirstFrame });
    this.brush = canvas.getContext("2d");
  }

  load(buffer, fps, width, height) {
    if (!this.buffer) requestAnimationFrame((now) => this.#tick(now)); // nothing to show before
    Object.assign(this, { buffer, head: new Playhead(fps), shown: null });
    this.#wanted = null;
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    else this.brush.clearRect(0, 0, width, height);
  }

  /** Show the first frame at once, without waiting for the next screen refresh. */
  frameArrived() {
    if (this.shown === null) this.#want(this.head.advance(0, this.buffer.first, this.buffer.last));
  }

  /** Show the frame that is nearest to a number; returns its number. */
  seek(number) {
    const position = Math.min(Math.max(number, this.buffer.first), this.buffer.last);
    this.head.seek(position, this.buffer.last);
    this.#want(position);
    return position;
  }

  move(moving) {
    if (this.head) this.head.moving = moving;
  }

  #tick(now) {
    const elapsed = this.frozen ? 0 : Math.min(0.5, (now - this.#before) / 1000);
    this.#before = now;
    if (this.buffer?.length) this.#want(this.head.advance(elapsed, this.buffer.first, this.buffer.last));
    requestAnimationFrame((next) => this.#tick(next));
  }

  #want(number) {
    const frame = this.buffer.at(number);
    if (frame.number === this.shown && !this.#decoding) return;
    this.#wanted = frame;
    if (!this.#decoding) this.#draw();
  }

  async #draw() {
    this.#decoding = true;
    while (this.#wanted) {
      const [buffer, frame] = [this.buffer, this.#wanted];
      this.#wanted = null;
      if (frame.number === this.shown) continue;
      const bitmap = await createImageBitmap(new Blob([frame.jpeg], { type: "image/jpeg" })).catch(() => null);
      if (buffer === this.buffer) this.#show(bitmap, frame.number);
      bitmap?.close();
    }
    this.#decoding = false;
  }

  #show(bitmap, number) {
    const first = this.shown === null;
    this.shown = number;
    if (!bitmap) return; // skip a damaged frame
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
      Object.assign(this.canvas, { width: bitmap.width, height: bitmap.height });
    }
    this.brush.drawImage(bitmap, 0, 0);
    if (first) this.onFirstFrame();
    this.onFrameShown();
  }
}
