// The login dialog, shown if the server requires a token.

import { ApiError, logIn } from "./api.js";
import { byId, setText } from "./dom.js";

const dialog = byId("login");
const field = byId("token");

/** Run `act`; if the server requires a token, ask the user for it and run it again. */
export async function withLogin(act) {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401) throw error;
    await askUntilLoggedIn();
    return act();
  }
}

async function askUntilLoggedIn() {
  for (let complaint = ""; ; ) {
    try {
      return await logIn(await askForToken(complaint));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      complaint = error.status === 401 ? "That is not the token." : error.message;
    }
  }
}

/** The token that the user enters; the field is cleared at once. */
function askForToken(complaint) {
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

dialog.addEventListener("cancel", (event) => event.preventDefault()); // without a login the page has nothing to show
