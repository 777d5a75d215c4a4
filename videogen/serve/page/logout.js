// The logout button, if the server requires a token.

import { loginState, logOut } from "./api.js";
import { askToConfirm } from "./confirm.js";
import { byId } from "./dom.js";

const QUESTION = {
  title: "Log out?",
  text: "A running video stops and is saved. Your videos stay in this browser.",
  action: "Log out",
  option: "Also remove my videos and prompts from this browser",
};

/** Show the button if there is a login to end; `leave(removeData)` runs before it ends, and stops what runs. */
export async function setUpLogout(leave, onError) {
  const { needed, logged_in: loggedIn } = await loginState();
  byId("logout").hidden = !(needed && loggedIn);
  byId("logout").onclick = async () => {
    const answer = await askToConfirm(QUESTION);
    if (!answer) return;
    try {
      await leave(answer.checked);
      await logOut();
      location.reload(); // clears the page's memory
    } catch (error) {
      onError(error);
    }
  };
}
