// Leaving the studio, where its server asks for a token.

import { loginState, logOut } from "./api.js";
import { confirmed } from "./confirm.js";
import { byId } from "./dom.js";

const QUESTION = {
  title: "Log out?",
  text: "A running video ends and is kept among your videos, which stay in this browser.",
  word: "Log out",
  choice: "Also remove my videos and prompts from this browser",
};

/** Show the button where there is a login to end; `leave(forget)` is called before it ends, and ends what runs. */
export async function offerLogout(leave, failed) {
  const { needed, logged_in: loggedIn } = await loginState();
  byId("logout").hidden = !(needed && loggedIn);
  byId("logout").onclick = async () => {
    const answer = await confirmed(QUESTION);
    if (!answer) return;
    try {
      await leave(answer.chosen);
      await logOut();
      location.reload(); // nothing of what was seen stays in the page's memory
    } catch (error) {
      failed(error);
    }
  };
}
