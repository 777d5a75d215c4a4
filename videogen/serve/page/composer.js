// The prompt box: what is wished for, its examples, and the clip or picture that it goes on from.

import { byId, make, setText } from "./dom.js";
import { shortened, size } from "./words.js";

const MOST_EXAMPLES = 6;
const SUFFIXES = { clip: /\.(mp4|m4v|mov|mkv|webm|avi|gif)$/i, image: /\.(png|jpe?g|webp|bmp|tiff?)$/i };

export class Composer {
  beginning = null; // {kind: "clip" | "image", blob, name}
  #running = false;

  /** `on` has begin(), change(prompt) and refused(text). */
  constructor(on) {
    this.on = on;
    this.prompt = byId("prompt");
    byId("composer").addEventListener("submit", (event) => this.#submit(event));
    byId("anew").addEventListener("click", () => on.begin());
    this.prompt.addEventListener("keydown", (event) => this.#onKey(event));
    this.prompt.addEventListener("input", () => this.#show());
    byId("beginning-remove").addEventListener("click", () => this.goOnFrom(null));
    byId("file").addEventListener("change", (event) => this.#chosen(event.target));
    this.#listenForDrops();
  }

  /** What the model and the server allow. */
  load({ examples, told }, limits) {
    if (!told) this.prompt.placeholder = "This model was taught without words: prompts change nothing";
    this.mostBytes = limits.upload_bytes;
    this.prompt.maxLength = limits.prompt_chars;
    byId("examples").replaceChildren(...examples.slice(0, MOST_EXAMPLES).map((text) => this.#example(text)));
    byId("examples").hidden = examples.length === 0;
    byId("begin").disabled = false;
  }

  get text() {
    return this.prompt.value.trim();
  }

  /** While a video is being made, the first button changes its prompt. */
  set running(running) {
    this.#running = running;
    this.#show();
  }

  /** While a video is being asked for: the buttons do nothing, but keep the focus. */
  set busy(busy) {
    for (const id of ["begin", "anew"]) byId(id).setAttribute("aria-disabled", String(busy));
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

  /** A file that was dropped or chosen, if it is one that can be gone on from. */
  take(file) {
    const kind = kindOf(file);
    if (!kind) return this.on.refused(`${file.name} is neither a clip nor a picture; drop an mp4, webm, gif, png or jpeg.`);
    if (file.size > this.mostBytes) {
      return this.on.refused(`${file.name} has ${size(file.size)}; the server takes at most ${size(this.mostBytes)}.`);
    }
    return this.goOnFrom({ kind, blob: file, name: file.name });
  }

  #submit(event) {
    event.preventDefault();
    if (this.#running && !this.beginning) this.on.change(this.text);
    else this.on.begin();
  }

  #onKey(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("composer").requestSubmit();
  }

  #show() {
    this.prompt.removeAttribute("aria-invalid");
    const changes = this.#running && !this.beginning;
    setText(byId("begin"), changes ? "Change prompt" : this.beginning ? "Continue it" : "Generate");
    byId("anew").hidden = !changes;
    setText(byId("prompt-help"), `Enter ${changes ? "changes what happens" : "begins"}, Shift and Enter for a new line`);
  }

  #example(text) {
    const button = make("button", { type: "button", className: "example", textContent: text });
    button.addEventListener("click", () => {
      this.prompt.value = text;
      this.#show();
      this.prompt.focus();
    });
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

  #chosen(input) {
    if (input.files.length) this.take(input.files[0]);
    input.value = ""; // the same file can be chosen again
  }

  #listenForDrops() {
    const curtain = byId("dropping");
    const carries = (event) => event.dataTransfer?.types.includes("Files");
    addEventListener("dragenter", (event) => carries(event) && (curtain.hidden = false));
    addEventListener("dragleave", (event) => event.relatedTarget === null && (curtain.hidden = true));
    addEventListener("dragover", (event) => carries(event) && event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      curtain.hidden = true;
      if (event.dataTransfer.files.length) this.take(event.dataTransfer.files[0]);
    });
  }
}

function kindOf({ type, name }) {
  if (type === "image/gif") return "clip"; // it moves
  if (type.startsWith("video/") || SUFFIXES.clip.test(name)) return "clip";
  return type.startsWith("image/") || SUFFIXES.image.test(name) ? "image" : null;
}

function drawWhole(canvas, bitmap) {
  const scale = Math.max(canvas.width / bitmap.width, canvas.height / bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  canvas.getContext("2d").drawImage(bitmap, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  bitmap.close();
}
