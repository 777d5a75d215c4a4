// The field for the token, where the server wants one.

import { Failure, logIn } from "./api.js";
import { byId, setText } from "./dom.js";

const dialog = byId("login");
const field = byId("token");

/** Do it; where the server asks for a token first, ask the person for it. */
export async function admitted(act) {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof Failure) || error.status !== 401) throw error;
    await loggedIn();
    return act();
  }
}

async function loggedIn() {
  for (let complaint = ""; ; ) {
    try {
      return await logIn(await typed(complaint));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      complaint = error.status === 401 ? "That is not the token." : error.message;
    }
  }
}

/** What is typed in; the field forgets it at once. */
function typed(complaint) {
  setText(byId("login-error"), complaint);
  field.setAttribute("aria-invalid", complaint ? "true" : "false");
  if (!dialog.open) dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    byId("login-form").onsubmit = (event) => {
      event.preventDefault();
      const token = field.value.trim();
      field.value = "";
      dialog.close();
      resolve(token);
    };
  });
}

dialog.addEventListener("cancel", (event) => event.preventDefault()); // there is nothing behind it to go back to
