// The prompts that were asked for before: in a list, and by the arrow keys as a shell has them. Kept by the browser.

import { byId, make } from "./dom.js";
import { forget, recall, remember } from "./remembered.js";

const KEY = "prompts";
const MOST = 100;

export class PromptHistory {
  #prompts = stored(); // newest first
  #at = -1; // the one that the arrow keys have led to; -1: none
  #draft = "";

  /** `onPick` is called with a prompt that was chosen. */
  constructor(field, onPick) {
    Object.assign(this, { field, onPick, dialog: byId("history") });
    byId("history-open").addEventListener("click", () => this.#open());
    byId("history-close").addEventListener("click", () => this.dialog.close());
    byId("history-clear").addEventListener("click", () => this.clear());
    field.addEventListener("input", () => (this.#at = -1));
    this.#show();
  }

  add(prompt) {
    this.#at = -1;
    if (!prompt) return;
    this.#prompts = [prompt, ...stored().filter((other) => other !== prompt)].slice(0, MOST); // another tab's are kept
    remember(KEY, JSON.stringify(this.#prompts));
    this.#show();
  }

  clear() {
    this.#prompts = [];
    forget(KEY);
    this.#show();
    if (this.dialog.open) this.dialog.close();
  }

  /** Up at the beginning of the text leads to older prompts, Down at its end back; true if a key was one of these. */
  onKey({ key, shiftKey, ctrlKey, altKey, metaKey }) {
    if (shiftKey || ctrlKey || altKey || metaKey) return false;
    const { selectionStart: start, selectionEnd: end, value } = this.field;
    const browsing = this.#at >= 0 && start === end && end === value.length; // the caret is where the last step left it
    if (key === "ArrowUp" && ((start === 0 && end === 0) || browsing)) return this.#step(1);
    if (key === "ArrowDown" && browsing) return this.#step(-1);
    return false;
  }

  #step(by) {
    const next = this.#at + by;
    if (next >= this.#prompts.length) return this.#at >= 0;
    if (this.#at < 0) this.#draft = this.field.value;
    this.onPick(next < 0 ? this.#draft : this.#prompts[next]);
    this.#at = next;
    return true;
  }

  #show() {
    byId("history-open").disabled = this.#prompts.length === 0;
  }

  #open() {
    byId("history-list").replaceChildren(...this.#prompts.map((text) => make("li", {}, [this.#item(text)])));
    this.dialog.showModal();
  }

  #item(text) {
    const button = make("button", { type: "button", className: "quiet", textContent: text });
    button.addEventListener("click", () => {
      this.dialog.close();
      this.onPick(text);
    });
    return button;
  }
}

function stored() {
  try {
    const prompts = JSON.parse(recall(KEY) ?? "[]");
    return Array.isArray(prompts) ? prompts.filter((prompt) => typeof prompt === "string") : [];
  } catch {
    return []; // not ours
  }
}
