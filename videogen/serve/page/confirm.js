// A question before an action that cannot be undone.

import { byId, setText } from "./dom.js";

const dialog = byId("confirm");
const option = byId("confirm-option");

/** Ask {title, text, action, option}; null if the user cancels, otherwise {checked}: whether the option was ticked. */
export function askToConfirm({ title, text, action, option: label = "" }) {
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  setText(byId("confirm-act"), action);
  setText(byId("confirm-option-text"), label);
  byId("confirm-option-line").hidden = !label;
  option.checked = false;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes" ? { checked: option.checked } : null);
  });
}
