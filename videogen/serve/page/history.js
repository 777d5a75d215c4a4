// Earlier prompts: in a list, and with the arrow keys as in a shell. Stored in the browser.

import { byId, make } from "./dom.js";
import { loadItem, removeItem, storeItem } from "./local_storage.js";

const KEY = "prompts";
const MAX_PROMPTS = 100;

export class PromptHistory {
  #prompts = storedPrompts(); // newest first
  #at = -1; // index that the arrow keys have reached; -1: none
  #draft = "";

  /** Calls `onPick` with a prompt that was chosen. */
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
    this.#prompts = [prompt, ...storedPrompts().filter((other) => other !== prompt)].slice(0, MAX_PROMPTS); // with those of other tabs
    storeItem(KEY, JSON.stringify(this.#prompts));
    this.#show();
  }

  clear() {
    this.#prompts = [];
    removeItem(KEY);
    this.#show();
    if (this.dialog.open) this.dialog.close();
  }

  /** Up at the start of the text goes to older prompts, Down at its end back; true if the key was handled. */
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

function storedPrompts() {
  try {
    const prompts = JSON.parse(loadItem(KEY) ?? "[]");
    return Array.isArray(prompts) ? prompts.filter((prompt) => typeof prompt === "string") : [];
  } catch {
    return []; // not JSON: not written by this page
  }
}
