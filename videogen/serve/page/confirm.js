// A question before something that cannot be undone.

import { byId, setText } from "./dom.js";

const dialog = byId("confirm");
const choice = byId("confirm-choice");

/** Ask {title, text, word, choice}; null if the person does not want it, otherwise {chosen}: whether the box was ticked. */
export function confirmed({ title, text, word, choice: words = "" }) {
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  setText(byId("confirm-act"), word);
  setText(byId("confirm-choice-text"), words);
  byId("confirm-choice-line").hidden = !words;
  choice.checked = false;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes" ? { chosen: choice.checked } : null);
  });
}
