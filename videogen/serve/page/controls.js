// The buttons of the player, and the word for how a stream is.

import { byId, setIcon } from "./dom.js";

const OF_PICTURES = ["play", "keep", "download", "branch"];

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

export function wordsFor({ state, facts }, pictures) {
  const place = facts?.queue_place;
  const playing = pictures ? "Playing" : "Making the first picture";
  const queued = place ? `Waiting, place ${place}` : "Waiting";
  return { queued, playing, paused: "Paused", stopped: "Ended", failed: "Failed" }[state];
}
