// The settings of the next video: what differs from the model's own is sent, nothing else.

import { byId, make, setText } from "./dom.js";

const SLIDERS = ["steps", "guidance_scale", "temperature"];
const NUMBERS = ["top_k", "top_p", "seed"];
const TEXTS = ["order", "negative_prompt"];
const ORDERS = {
  halton: "evenly spread",
  confidence: "surest first",
  random: "by lot",
  threshold: "all that is sure",
  raster: "row by row",
  next: "row by row, cached",
};

export class Settings {
  #own = {}; // the model's
  #shown = {}; // the same as the fields show them: a slider rounds to its steps

  constructor() {
    this.form = byId("settings-form");
    this.form.addEventListener("reset", (event) => {
      event.preventDefault();
      this.#restore();
    });
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", (event) => this.#onInput(event.target));
  }

  /** Show what the model has where nothing is chosen. */
  load({ sampler, orders }, limits) {
    this.#own = sampler;
    const options = orders.map((name) => make("option", { value: name, textContent: ORDERS[name] ?? name }));
    byId("order").replaceChildren(...options);
    byId("steps").max = Math.min(limits.steps, 64);
    byId("negative_prompt").maxLength = limits.prompt_chars;
    this.#restore();
  }

  /** The fields of a wish that differ from the model's own settings. */
  get wish() {
    const wish = {};
    for (const name of [...SLIDERS, ...TEXTS, ...NUMBERS]) {
      const value = byId(name).value.trim();
      if (value !== "" && value !== this.#shown[name]) wish[name] = TEXTS.includes(name) ? value : Number(value);
    }
    if (byId("length").value) wish.seconds = Number(byId("length").value);
    wish.transition = this.transition;
    return wish;
  }

  get transition() {
    return byId("transition").value;
  }

  /** Lead to the field that the server complains about; false if it is none of these. */
  complain(name) {
    const field = { seconds: "length", frames: "length" }[name] ?? name;
    if (![...SLIDERS, ...NUMBERS, ...TEXTS, "length", "transition"].includes(field)) return false;
    byId("settings").open = true;
    byId(field).setAttribute("aria-invalid", "true");
    byId(field).focus();
    return true;
  }

  #shownOwn(name) {
    const own = this.#own[name];
    return own === undefined || own === null ? "" : String(own);
  }

  #restore() {
    for (const name of [...SLIDERS, ...TEXTS, ...NUMBERS]) {
      byId(name).value = this.#shownOwn(name);
      this.#shown[name] = byId(name).value;
      this.#onInput(byId(name));
    }
    byId("length").value = "";
    byId("transition").value = "recache";
  }

  #onInput(field) {
    field.removeAttribute("aria-invalid");
    if (SLIDERS.includes(field.id)) setText(byId(`${field.id}-value`), field.value);
  }
}
