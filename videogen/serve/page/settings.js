// The settings of the next video: what differs from the model's own is sent, nothing else.

import { byId, make, setText } from "./dom.js";

const SLIDERS = ["steps", "guidance_scale", "temperature"];
const NUMBERS = ["top_k", "top_p", "seed"];
const TEXTS = ["order", "negative_prompt"];
const SAMPLING = [...SLIDERS, ...TEXTS, ...NUMBERS];
const CHOICES = ["length", "transition"];
const ORDERS = {
  halton: "evenly spread",
  confidence: "surest first",
  random: "by lot",
  threshold: "all that is sure",
  raster: "row by row",
  autoregressive: "row by row, cached",
};

export class Settings {
  #own = {}; // the model's
  #given = {}; // what each field was set to, {value, shown}: a slider rounds to its steps

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
    for (const name of SAMPLING) {
      const value = this.#valueOf(name);
      if (value !== null && value !== this.#ownOf(name)) wish[name] = value;
    }
    if (byId("length").value) wish.seconds = Number(byId("length").value);
    wish.transition = this.transition;
    return wish;
  }

  get transition() {
    return byId("transition").value;
  }

  /** Everything that the next video is made with, by the names of the fields. */
  get values() {
    const sampling = SAMPLING.map((name) => [name, this.#valueOf(name) ?? this.#ownOf(name)]);
    return Object.fromEntries([...sampling, ...CHOICES.map((name) => [name, byId(name).value])]);
  }

  /** Set the fields to what an earlier video was made with; what this model does not have stays as it is. */
  apply(values) {
    for (const name of SAMPLING) this.#set(name, values[name] ?? null);
    for (const name of CHOICES) this.#choose(byId(name), values[name]);
    byId("settings").open = true;
  }

  /** Pairs of a name and a value, as the page names them. */
  described(values) {
    const named = [...SLIDERS, "order", "top_k", "top_p", "negative_prompt"].filter((name) => (values[name] ?? "") !== "");
    return named.map((name) => [this.#label(name), name === "order" ? (ORDERS[values.order] ?? values.order) : String(values[name])]);
  }

  /** Lead to the field that the server complains about; false if it is none of these. */
  complain(name) {
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

  #ownOf(name) {
    return this.#own[name] ?? null;
  }

  /** What a field stands for: a number that a slider has rounded is meant as it was given. */
  #valueOf(name) {
    const text = byId(name).value.trim();
    if (text === this.#given[name].shown) return this.#given[name].value;
    if (text === "") return null;
    return TEXTS.includes(name) ? text : Number(text);
  }

  #set(name, value) {
    const field = byId(name);
    if (field.tagName === "SELECT") this.#choose(field, value);
    else field.value = value === null ? "" : String(value);
    this.#given[name] = { value: field.tagName === "SELECT" ? field.value : value, shown: field.value.trim() };
    this.#onInput(field);
  }

  #choose(field, value) {
    if ([...field.options].some((option) => option.value === value)) field.value = value;
  }

  #restore() {
    for (const name of SAMPLING) this.#set(name, this.#ownOf(name));
    byId("length").value = "";
    byId("transition").value = "recache";
  }

  #onInput(field) {
    field.removeAttribute("aria-invalid");
    if (SLIDERS.includes(field.id)) setText(byId(`${field.id}-value`), field.value);
  }
}
