// What the making costs, in a list: some of it measured here, some told by the server.

import { byId, make, setText } from "./dom.js";
import { delay, rate } from "./words.js";

const list = byId("figures");
const rows = new Map();

/** Show figures by their names, in this order; what is null is left out. */
export function showFigures(figures) {
  for (const [name, value] of Object.entries(figures)) {
    if (!rows.has(name)) rows.set(name, row(name));
    const [line, text] = rows.get(name);
    line.hidden = value === null;
    if (value !== null) setText(text, value);
  }
}

/** The figures of a stream, `firstPicture` in seconds since the click as this page has seen it. */
export function figuresOf(facts, firstPicture, reel, model) {
  const made = facts?.figures ?? {};
  const number = (value, text) => (Number.isFinite(value) ? text(value) : null);
  return {
    "Waiting": number(facts?.queue_place ?? NaN, (place) => `place ${place}`),
    "First picture": firstPicture === null ? null : `after ${delay(firstPicture)}`,
    "Made": number(made.frames_per_second, (value) => (value > 0 ? `${rate(value)} a second` : "not yet")),
    "Plays": number(facts?.fps ?? model?.fps, (value) => `${rate(value)} a second`),
    "Proposals": number(made.proposals_per_latent_frame ?? NaN, (value) => (value > 0 ? `${rate(value)} a frame` : "none yet")),
    "Pictures": reel.length ? `${reel.last + 1}, ${reel.length} kept` : null,
    "Size": number(facts?.width ?? model?.width, (width) => `${width} × ${facts?.height ?? model.height}`),
    "Seed": number(facts?.seed ?? NaN, String),
  };
}

function row(name) {
  const text = make("dd");
  const line = make("div", {}, [make("dt", { textContent: name }), text]);
  list.append(line);
  return [line, text];
}
