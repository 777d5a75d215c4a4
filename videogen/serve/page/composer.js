// The prompt box: what is asked for, its examples, and the clip or picture that it goes on from.

import { byId, make, setText } from "./dom.js";
import { listenForFiles } from "./files.js";
import { PromptHistory } from "./history.js";
import { sentence, shortened, size } from "./words.js";

const MOST_EXAMPLES = 3;

export class Composer {
  beginning = null; // {kind: "clip" | "image", blob, name}
  #running = false;

  /** `on` has begin(), change(prompt), vary(count) and refused(text). */
  constructor(on) {
    this.on = on;
    this.prompt = byId("prompt");
    this.history = new PromptHistory(this.prompt, (text) => this.write(text));
    byId("composer").addEventListener("submit", (event) => this.#submit(event));
    byId("anew").addEventListener("click", () => on.begin());
    byId("vary").addEventListener("click", () => on.vary(Number(byId("variations").value)));
    byId("variations").addEventListener("change", () => this.#show());
    this.prompt.addEventListener("keydown", (event) => this.#onKey(event));
    this.prompt.addEventListener("input", () => this.#show());
    new ResizeObserver(() => this.#grow()).observe(byId("composer"));
    byId("beginning-remove").addEventListener("click", () => this.goOnFrom(null));
    listenForFiles((file) => this.goOnFrom(file), (reason) => on.refused(reason), () => this.mostBytes);
  }

  /** What the model and the server allow. */
  load({ examples, told }, limits) {
    if (!told) this.prompt.placeholder = "This model was taught without words: prompts change nothing";
    this.mostBytes = limits.upload_bytes;
    this.prompt.maxLength = limits.prompt_chars;
    const shortest = [...examples].sort((one, other) => one.length - other.length).slice(0, MOST_EXAMPLES); // of them several fit in a row
    byId("examples").replaceChildren(...shortest.map((text) => this.#example(text)));
    byId("examples").hidden = examples.length === 0;
    for (const id of ["begin", "vary"]) byId(id).disabled = false;
  }

  get text() {
    return this.prompt.value.trim();
  }

  /** Without a word on a clip or a picture, the server finds out what it shows. */
  get asked() {
    return this.text || !this.beginning ? { prompt: this.text } : {};
  }

  /** While a video is being made, the first button changes its prompt. */
  set running(running) {
    this.#running = running;
    this.#show();
  }

  /** While a video is being asked for: the buttons do nothing, but keep the focus. */
  set busy(busy) {
    for (const id of ["begin", "anew", "vary"]) byId(id).setAttribute("aria-disabled", String(busy));
  }

  /** The server's remark on a prompt, beside it: words that the model does not know, and the like. */
  set note(text) {
    setText(byId("prompt-note"), text ? sentence(text) : "");
  }

  write(text) {
    this.prompt.value = text;
    this.#show();
    this.prompt.focus();
  }

  goOnFrom(beginning) {
    this.beginning = beginning;
    byId("beginning").hidden = !beginning;
    if (beginning) this.#showBeginning(beginning);
    this.#show();
    this.prompt.focus();
  }

  complain() {
    this.prompt.setAttribute("aria-invalid", "true");
    this.prompt.focus();
  }

  #submit(event) {
    event.preventDefault();
    if (this.#running && !this.beginning) this.on.change(this.text);
    else this.on.begin();
  }

  #onKey(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      byId("composer").requestSubmit();
    } else if (this.history.onKey(event)) event.preventDefault();
  }

  #show() {
    this.prompt.removeAttribute("aria-invalid");
    const changes = this.#running && !this.beginning;
    setText(byId("begin"), changes ? "Change prompt" : this.beginning ? "Continue it" : "Generate");
    byId("anew").hidden = !changes;
    setText(byId("vary"), `${byId("variations").value} variations`);
    setText(byId("prompt-help"), `Enter ${changes ? "changes what happens" : "begins"}, Shift and Enter for a new line, Up for earlier prompts`);
    this.#grow();
  }

  /** The box is as high as its text; the stylesheet says how high at most. */
  #grow() {
    const { style } = this.prompt;
    style.height = "auto";
    const wanted = `${this.prompt.scrollHeight}px`;
    style.height = wanted;
  }

  #example(text) {
    const button = make("button", { type: "button", className: "example", textContent: text });
    button.addEventListener("click", () => this.write(text));
    return button;
  }

  async #showBeginning({ kind, blob, name }) {
    setText(byId("beginning-name"), `${shortened(name, 32)} (${size(blob.size)})`);
    const canvas = byId("beginning-picture");
    const bitmap = kind === "image" ? await createImageBitmap(blob).catch(() => null) : null;
    canvas.hidden = !bitmap;
    byId("beginning-icon").toggleAttribute("hidden", Boolean(bitmap));
    if (bitmap) drawWhole(canvas, bitmap);
  }
}

function drawWhole(canvas, bitmap) {
  const scale = Math.max(canvas.width / bitmap.width, canvas.height / bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  canvas.getContext("2d").drawImage(bitmap, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  bitmap.close();
}
