// The status line, and notices about errors with what the user can do about them.

import { byId, setText } from "./dom.js";
import { asSentence } from "./format.js";

const status = byId("status");
const notice = byId("notice");
const action = byId("notice-action");
let countdown = null;

export function setStatus(text, state) {
  setText(status, text);
  if (state) status.dataset.state = state;
}

export function clearNotice() {
  clearInterval(countdown);
  notice.hidden = true;
}

/** One line that stays until the user closes it; `help` is a button: {label, act, after}, enabled after some seconds. */
export function showNotice(text, help = null) {
  clearNotice();
  setText(byId("notice-text"), text);
  action.hidden = !help;
  if (help) offer(help);
  notice.hidden = false;
}

/** Show an ApiError; with `retry`, offer to try again where that can help. */
export function showError(error, retry = null) {
  const busy = error.status === 503 && error.retryAfter;
  const retryHelps = retry && (busy || error.code === "unreachable" || error.status === 0);
  const text = error.param ? error.message : asSentence(error.message); // a message about a field starts with the field's name
  showNotice(text, retryHelps ? { label: "Try again", act: retry, after: busy ? error.retryAfter : 0 } : null);
}

function offer({ label, act, after = 0 }) {
  let left = Math.ceil(after);
  const show = () => {
    action.disabled = left > 0;
    setText(action, left > 0 ? `${label} in ${left} s` : label);
    if (left <= 0) clearInterval(countdown);
    left -= 1;
  };
  show();
  if (left >= 0) countdown = setInterval(show, 1000);
  action.onclick = () => {
    clearNotice();
    act();
  };
}

byId("notice-close").addEventListener("click", () => {
  clearNotice();
  byId("prompt").focus(); // the focused button is now hidden
});
