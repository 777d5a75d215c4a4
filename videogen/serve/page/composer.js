// The prompt box, its examples, and the clip or image that the next video continues from.

import { byId, make, setText } from "./dom.js";
import { listenForFiles } from "./files.js";
import { asSentence, shorten, size } from "./format.js";
import { PromptHistory } from "./history.js";

const MOST_EXAMPLES = 3;

export class Composer {
  source = null; // {kind: "clip" | "image", blob, name}
  #running = false;

  /** `on` has generate(), changePrompt(prompt), makeVariations(count) and refused(text). */
  constructor(on) {
    this.on = on;
    this.prompt = byId("prompt");
    this.history = new PromptHistory(this.prompt, (text) => this.write(text));
    byId("composer").addEventListener("submit", (event) => this.#submit(event));
    byId("new-video").addEventListener("click", () => on.generate());
    byId("vary").addEventListener("click", () => on.makeVariations(Number(byId("variations").value)));
    byId("variations").addEventListener("change", () => this.#show());
    this.prompt.addEventListener("keydown", (event) => this.#onKey(event));
    this.prompt.addEventListener("input", () => this.#show());
    new ResizeObserver(() => this.#grow()).observe(byId("composer"));
    byId("source-remove").addEventListener("click", () => this.setSource(null));
    listenForFiles((file) => this.setSource(file), (reason) => on.refused(reason), () => this.maxBytes);
  }

  /** Apply what the model and the server allow. */
  load({ examples, text_conditioned: readsPrompts }, limits) {
    if (!readsPrompts) this.prompt.placeholder = "This model was trained without text: prompts have no effect";
    this.maxBytes = limits.upload_bytes;
    this.prompt.maxLength = limits.prompt_chars;
    const shortest = [...examples].sort((one, other) => one.length - other.length).slice(0, MOST_EXAMPLES); // several fit in a row
    byId("examples").replaceChildren(...shortest.map((text) => this.#example(text)));
    byId("examples").hidden = examples.length === 0;
    for (const id of ["generate", "vary"]) byId(id).disabled = false;
  }

  get text() {
    return this.prompt.value.trim();
  }

  /** With a source and no prompt, the field is omitted: the server then infers the prompt from the source. */
  get promptFields() {
    return this.text || !this.source ? { prompt: this.text } : {};
  }

  /** While a video is running, the submit button changes its prompt. */
  set running(running) {
    this.#running = running;
    this.#show();
  }

  /** While a request is sent, the buttons do nothing but keep the focus. */
  set busy(busy) {
    for (const id of ["generate", "new-video", "vary"]) byId(id).setAttribute("aria-disabled", String(busy));
  }

  /** The server's warning about a prompt, for example about words that the model does not know. */
  set note(text) {
    setText(byId("prompt-note"), text ? asSentence(text) : "");
  }

  write(text) {
    this.prompt.value = text;
    this.#show();
    this.prompt.focus();
  }

  setSource(source) {
    this.source = source;
    byId("source").hidden = !source;
    if (source) this.#showSource(source);
    this.#show();
    this.prompt.focus();
  }

  markInvalid() {
    this.prompt.setAttribute("aria-invalid", "true");
    this.prompt.focus();
  }

  #submit(event) {
    event.preventDefault();
    if (this.#running && !this.source) this.on.changePrompt(this.text);
    else this.on.generate();
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
    const changes = this.#running && !this.source;
    setText(byId("generate"), changes ? "Change prompt" : this.source ? "Continue" : "Generate");
    byId("new-video").hidden = !changes;
    setText(byId("vary"), `${byId("variations").value} variations`);
    setText(byId("prompt-help"), `Enter ${changes ? "changes the prompt" : "generates"}, Shift+Enter adds a line, Up recalls earlier prompts`);
    this.#grow();
  }

  /** Fit the height to the text; the stylesheet sets the maximum. */
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

  async #showSource({ kind, blob, name }) {
    setText(byId("source-name"), `${shorten(name, 32)} (${size(blob.size)})`);
    const canvas = byId("source-image");
    const bitmap = kind === "image" ? await createImageBitmap(blob).catch(() => null) : null;
    canvas.hidden = !bitmap;
    byId("source-icon").toggleAttribute("hidden", Boolean(bitmap));
    if (bitmap) drawCover(canvas, bitmap);
  }
}

function drawCover(canvas, bitmap) {
  const scale = Math.max(canvas.width / bitmap.width, canvas.height / bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  canvas.getContext("2d").drawImage(bitmap, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  bitmap.close();
}
