// Statistics of the generation: some measured by the page, some sent by the server.

import { byId, make, setText } from "./dom.js";
import { delay, rate } from "./format.js";

const list = byId("stats");
const rows = new Map();

/** Show values by name, in this order; null values are hidden. */
export function showStats(stats) {
  for (const [name, value] of Object.entries(stats)) {
    if (!rows.has(name)) rows.set(name, makeRow(name));
    const [row, text] = rows.get(name);
    row.hidden = value === null;
    if (value !== null) setText(text, value);
  }
}

/** The statistics of a stream; `firstFrameDelay` is in seconds since the click, as measured by this page. */
export function statsOf(info, firstFrameDelay, buffer, model) {
  const stats = info?.stats ?? {};
  const number = (value, text) => (Number.isFinite(value) ? text(value) : null);
  return {
    "Queue": number(info?.queue_place ?? NaN, (position) => `position ${position}`),
    "First frame": firstFrameDelay === null ? null : `after ${delay(firstFrameDelay)}`,
    "Generation": number(stats.frames_per_second, (value) => (value > 0 ? `${rate(value)} frames/s` : "not yet")),
    "Playback": number(info?.fps ?? model?.fps, (value) => `${rate(value)} frames/s`),
    "Forward passes": number(stats.proposals_per_latent_frame ?? NaN, (value) => (value > 0 ? `${rate(value)} per latent frame` : "none yet")),
    "Frames": buffer.length ? `${buffer.last + 1}, ${buffer.length} in memory` : null,
    "Size": number(info?.width ?? model?.width, (width) => `${width} × ${info?.height ?? model.height}`),
    "Seed": number(info?.seed ?? NaN, String),
  };
}

function makeRow(name) {
  const text = make("dd");
  const row = make("div", {}, [make("dt", { textContent: name }), text]);
  list.append(row);
  return [row, text];
}
