// The buttons of the player, and the words for how a stream is doing.

import { byId, setIcon } from "./dom.js";
import { rate } from "./words.js";

const OF_PICTURES = ["play", "keep", "download", "branch"];
const SLOW = 0.95; // of real time: below, a person sees the video stall
const FAST_AGAIN = 0.98; // what is near the border is not called this and that in turn

/** What can be pressed, while a stream is live or not, with so many pictures. */
export function showControls(live, pictures) {
  byId("stop").disabled = !live;
  byId("live").disabled = !live;
  for (const id of OF_PICTURES) byId(id).disabled = pictures === 0;
  byId("stage").dataset.live = live ? "yes" : "no";
}

/** Whether the button pauses or plays. */
export function showPlaying(playing) {
  setIcon(byId("play"), playing ? "pause" : "play");
  byId("play").setAttribute("aria-label", playing ? "Pause" : "Play");
}

/** How a session is doing: {words, look, pace}; `pace` has the figure where it is slower than real time, or is "". */
export function conditionOf({ state, facts }, pictures) {
  const border = byId("status").dataset.state === "slow" ? FAST_AGAIN : SLOW;
  const place = facts?.queue_place;
  const speed = facts?.figures?.speed; // seconds of video for a second of time
  if (state === "playing" && pictures && Number.isFinite(speed) && speed < border) {
    return { words: "Slower than real time", look: "slow", pace: `${rate(speed * facts.fps)} of ${rate(facts.fps)} frames a second` };
  }
  const playing = pictures ? "Playing" : "Making the first picture";
  const queued = place ? `Waiting, place ${place}` : "Waiting";
  return { words: { queued, playing, paused: "Paused", stopped: "Ended", failed: "Failed" }[state], look: state, pace: "" };
}
