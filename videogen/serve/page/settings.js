// The settings of the next video. Only values that differ from the model's defaults are sent.

import { byId, make, setText } from "./dom.js";

const SLIDERS = ["steps", "guidance_scale", "temperature"];
const NUMBERS = ["top_k", "top_p", "seed"];
const TEXTS = ["order", "negative_prompt"];
const SAMPLING = [...SLIDERS, ...TEXTS, ...NUMBERS];
const CHOICES = ["length", "transition"];
const ORDERS = {
  halton: "evenly spread",
  confidence: "most confident first",
  random: "random",
  threshold: "all confident tokens",
  entropy: "all nearly certain tokens",
  raster: "row by row",
  autoregressive: "row by row, cached",
};

export class Settings {
  #defaults = {}; // of the model
  #initial = {}; // what each field was set to, {value, shown}: a slider shows a rounded value

  constructor() {
    this.form = byId("settings-form");
    this.form.addEventListener("reset", (event) => {
      event.preventDefault();
      this.#reset();
    });
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", (event) => this.#onInput(event.target));
  }

  /** Show the model's defaults. */
  load({ sampler, orders }, limits) {
    this.#defaults = sampler;
    const options = orders.map((name) => make("option", { value: name, textContent: ORDERS[name] ?? name }));
    byId("order").replaceChildren(...options);
    byId("steps").max = Math.min(limits.steps, 64);
    byId("negative_prompt").maxLength = limits.prompt_chars;
    this.#reset();
  }

  /** The request fields that differ from the model's defaults. */
  get overrides() {
    const overrides = {};
    for (const name of SAMPLING) {
      const value = this.#valueOf(name);
      if (value !== null && value !== this.#defaultOf(name)) overrides[name] = value;
    }
    if (byId("length").value) overrides.seconds = Number(byId("length").value);
    overrides.transition = this.transition;
    return overrides;
  }

  get transition() {
    return byId("transition").value;
  }

  /** All settings of the next video, by field name. */
  get values() {
    const sampling = SAMPLING.map((name) => [name, this.#valueOf(name) ?? this.#defaultOf(name)]);
    return Object.fromEntries([...sampling, ...CHOICES.map((name) => [name, byId(name).value])]);
  }

  /** Set the fields to the settings of an earlier video; choices that this model lacks stay unchanged. */
  apply(values) {
    for (const name of SAMPLING) this.#set(name, values[name] ?? null);
    for (const name of CHOICES) this.#select(byId(name), values[name]);
    byId("settings").open = true;
  }

  /** Pairs of a label and a value. */
  describe(values) {
    const given = [...SLIDERS, "order", "top_k", "top_p", "negative_prompt"].filter((name) => (values[name] ?? "") !== "");
    return given.map((name) => [this.#label(name), name === "order" ? (ORDERS[values.order] ?? values.order) : String(values[name])]);
  }

  /** Focus the field that the server rejected; false if the form does not have it. */
  markInvalid(name) {
    const field = { seconds: "length", frames: "length" }[name] ?? name;
    if (![...SAMPLING, ...CHOICES].includes(field)) return false;
    byId("settings").open = true;
    byId(field).setAttribute("aria-invalid", "true");
    byId(field).focus();
    return true;
  }

  #label(name) {
    return this.form.querySelector(`label[for="${name}"]`).textContent;
  }

  #defaultOf(name) {
    return this.#defaults[name] ?? null;
  }

  /** The value of a field; an untouched slider stands for the exact value that it was set to. */
  #valueOf(name) {
    const text = byId(name).value.trim();
    if (text === this.#initial[name].shown) return this.#initial[name].value;
    if (text === "") return null;
    return TEXTS.includes(name) ? text : Number(text);
  }

  #set(name, value) {
    const field = byId(name);
    if (field.tagName === "SELECT") this.#select(field, value);
    else field.value = value === null ? "" : String(value);
    this.#initial[name] = { value: field.tagName === "SELECT" ? field.value : value, shown: field.value.trim() };
    this.#onInput(field);
  }

  #select(field, value) {
    if ([...field.options].some((option) => option.value === value)) field.value = value;
  }

  #reset() {
    for (const name of SAMPLING) this.#set(name, this.#defaultOf(name));
    byId("length").value = "";
    byId("transition").value = "recache";
  }

  #onInput(field) {
    field.removeAttribute("aria-invalid");
    if (SLIDERS.includes(field.id)) setText(byId(`${field.id}-value`), field.value);
  }
}
