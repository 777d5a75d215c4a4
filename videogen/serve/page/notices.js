// What is said to the person: where things stand, and what went wrong with what can be done about it.

import { byId, setText } from "./dom.js";
import { sentence } from "./words.js";

const status = byId("status");
const notice = byId("notice");
const action = byId("notice-action");
let counting = null;

export function say(text, state) {
  setText(status, text);
  if (state) status.dataset.state = state;
}

export function clear() {
  clearInterval(counting);
  notice.hidden = true;
}

/** One line that stays until it is closed; `help` is {word, act, after}: a button, usable after so many seconds. */
export function warn(text, help = null) {
  clear();
  setText(byId("notice-text"), text);
  action.hidden = !help;
  if (help) offer(help);
  notice.hidden = false;
}

/** A Failure with what can be done about it. */
export function warnOf(failure, again = null) {
  const busy = failure.status === 503 && failure.retryAfter;
  const worthwhile = again && (busy || failure.code === "unreachable" || failure.status === 0);
  const text = failure.param ? failure.message : sentence(failure.message); // names of fields stay as they are
  warn(text, worthwhile ? { word: "Try again", act: again, after: busy ? failure.retryAfter : 0 } : null);
}

function offer({ word, act, after = 0 }) {
  let left = Math.ceil(after);
  const show = () => {
    action.disabled = left > 0;
    setText(action, left > 0 ? `${word} in ${left} s` : word);
    if (left <= 0) clearInterval(counting);
    left -= 1;
  };
  show();
  if (left >= 0) counting = setInterval(show, 1000);
  action.onclick = () => {
    clear();
    act();
  };
}

byId("notice-close").addEventListener("click", () => {
  clear();
  byId("prompt").focus(); // the button that had the focus is gone
});
