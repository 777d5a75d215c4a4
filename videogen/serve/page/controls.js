// The buttons of the player, and the status of a stream.

import { byId, setIcon } from "./dom.js";
import { rate } from "./format.js";

const NEED_FRAMES = ["play", "save", "download", "branch"];
const SLOW = 0.95; // of real time: below this, viewers see the video stall
const FAST_AGAIN = 0.98; // hysteresis: near the threshold the status does not flicker

/** Enable the buttons that can be used while a stream is live or not, with this many frames. */
export function updateControls(live, frames) {
  byId("stop").disabled = !live;
  byId("live").disabled = !live;
  for (const id of NEED_FRAMES) byId(id).disabled = frames === 0;
  byId("stage").dataset.live = live ? "yes" : "no";
}

export function updatePlayButton(playing) {
  setIcon(byId("play"), playing ? "pause" : "play");
  byId("play").setAttribute("aria-label", playing ? "Pause" : "Play");
}

/** The status of a session as {text, state, pace}; `pace` is "" unless it is slower than real time. */
export function statusOf({ state, info }, frames) {
  const threshold = byId("status").dataset.state === "slow" ? FAST_AGAIN : SLOW;
  const position = info?.queue_place;
  const speed = info?.stats?.speed; // seconds of video per second
  if (state === "playing" && frames && Number.isFinite(speed) && speed < threshold) {
    return { text: "Slower than real time", state: "slow", pace: `${rate(speed * info.fps)} of ${rate(info.fps)} frames per second` };
  }
  const playing = frames ? "Playing" : "Generating the first frame";
  const queued = position ? `Waiting, position ${position} in the queue` : "Waiting";
  return { text: { queued, playing, paused: "Paused", stopped: "Ended", failed: "Failed" }[state], state, pace: "" };
}
