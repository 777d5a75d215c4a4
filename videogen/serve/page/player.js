// The pictures of a reel on a canvas, in time. Decoding is asked for one picture at a time; the latest wish wins.

import { Playhead } from "./playhead.js";

export class Player {
  reel = null;
  head = null;
  shown = null; // the number on the canvas
  held = false; // by who drags the slider: time stands still
  #wanted = null;
  #decoding = false;
  #before = 0;

  /** `onMoved` is told after each picture has been drawn, and `onFirst` once a reel. */
  constructor(canvas, onMoved, onFirst) {
    Object.assign(this, { canvas, onMoved, onFirst });
    this.brush = canvas.getContext("2d");
  }

  load(reel, fps, width, height) {
    if (!this.reel) requestAnimationFrame((now) => this.#tick(now)); // before that there is nothing to show
    Object.assign(this, { reel, head: new Playhead(fps), shown: null });
    this.#wanted = null;
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    else this.brush.clearRect(0, 0, width, height);
  }

  /** A picture has come: whoever waits for it need not wait for the next frame of the screen too. */
  arrived() {
    if (this.shown === null) this.#want(this.head.advance(0, this.reel.first, this.reel.last));
  }

  /** Look at the picture that is nearest to a number; returns that one's. */
  seek(number) {
    const place = Math.min(Math.max(number, this.reel.first), this.reel.last);
    this.head.seek(place, this.reel.last);
    this.#want(place);
    return place;
  }

  move(moving) {
    if (this.head) this.head.moving = moving;
  }

  #tick(now) {
    const passed = this.held ? 0 : Math.min(0.5, (now - this.#before) / 1000);
    this.#before = now;
    if (this.reel?.length) this.#want(this.head.advance(passed, this.reel.first, this.reel.last));
    requestAnimationFrame((next) => this.#tick(next));
  }

  #want(number) {
    const picture = this.reel.at(number);
    if (picture.number === this.shown && !this.#decoding) return;
    this.#wanted = picture;
    if (!this.#decoding) this.#draw();
  }

  async #draw() {
    this.#decoding = true;
    while (this.#wanted) {
      const [reel, picture] = [this.reel, this.#wanted];
      this.#wanted = null;
      if (picture.number === this.shown) continue;
      const bitmap = await createImageBitmap(new Blob([picture.jpeg], { type: "image/jpeg" })).catch(() => null);
      if (reel === this.reel) this.#show(bitmap, picture.number);
      bitmap?.close();
    }
    this.#decoding = false;
  }

  #show(bitmap, number) {
    const first = this.shown === null;
    this.shown = number;
    if (!bitmap) return; // one damaged picture is passed over
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
      Object.assign(this.canvas, { width: bitmap.width, height: bitmap.height });
    }
    this.brush.drawImage(bitmap, 0, 0);
    if (first) this.onFirst();
    this.onMoved();
  }
}
