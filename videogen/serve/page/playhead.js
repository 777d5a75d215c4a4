// Which picture should be on screen: a place that moves with the clock, follows the newest picture or lags behind it.

const FARTHEST_BEHIND = 2.5; // seconds of video; whoever follows and falls farther behind jumps
const COMFORTABLE = 0.5; // seconds behind, after a jump
const ALMOST_ONE = 0.999; // who has waited at the end for the time of a picture shows the next as soon as it comes

export class Playhead {
  place = 0; // a number of a picture, with fractions
  following = true; // the newest; otherwise the past is looked at
  moving = true;
  begun = false;

  constructor(fps) {
    this.fps = fps;
  }

  /** Move by so many seconds within what there is; returns the number to show. */
  advance(passed, first, last) {
    if (!this.begun) return this.#begin(last);
    if (this.moving) this.place += passed * this.fps;
    if (this.following && last - this.place > FARTHEST_BEHIND * this.fps) this.place = last - COMFORTABLE * this.fps;
    this.place = Math.min(Math.max(this.place, first), last + ALMOST_ONE);
    if (this.moving && this.place >= last) this.following = true;
    return Math.floor(this.place);
  }

  #begin(last) {
    this.begun = true;
    this.place = last;
    return last;
  }

  /** Look at one picture; the newest one is followed. */
  seek(number, last) {
    this.begun = true;
    this.place = number;
    this.following = number >= last;
  }
}
