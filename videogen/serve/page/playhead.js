// Which frame should be on screen: a position that moves with the clock, and follows the newest frame or lags behind it.

const MAX_LAG = 2.5; // seconds of video; while following, a larger lag makes the position jump
const LAG_AFTER_JUMP = 0.5; // seconds of video
const ALMOST_ONE = 0.999; // a position that has waited at the end for a frame's time shows the next one at once

export class Playhead {
  position = 0; // a frame number, with fractions
  following = true; // the newest frame; otherwise the past is on screen
  moving = true;
  started = false;

  constructor(fps) {
    this.fps = fps;
  }

  /** Move by some seconds within the buffered frames; returns the number of the frame to show. */
  advance(elapsed, first, last) {
    if (!this.started) return this.#start(last);
    if (this.moving) this.position += elapsed * this.fps;
    if (this.following && last - this.position > MAX_LAG * this.fps) this.position = last - LAG_AFTER_JUMP * this.fps;
    this.position = Math.min(Math.max(this.position, first), last + ALMOST_ONE);
    if (this.moving && this.position >= last) this.following = true;
    return Math.floor(this.position);
  }

  #start(last) {
    this.started = true;
    this.position = last;
    return last;
  }

  /** Jump to a frame; at the newest one, start following. */
  seek(number, last) {
    this.started = true;
    this.position = number;
    this.following = number >= last;
  }
}
