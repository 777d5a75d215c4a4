// The person's videos, from what they were asked for with to a tab in which they are seen again.

import { confirmed } from "./confirm.js";
import { Gallery } from "./gallery.js";
import { Keeping } from "./keeping.js";
import { Library } from "./library.js";
import { admitted } from "./login.js";
import { say, warn, warnOf } from "./notices.js";
import { Variations } from "./variations.js";

export class Collection {
  #library = new Library();
  #storage = this.#library.open();

  constructor(composer, settings) {
    Object.assign(this, { composer, settings });
    this.gallery = new Gallery(this.#library, {
      continueFrom: (beginning) => composer.goOnFrom(beginning),
      again: (video) => this.#again(video),
      settingsOf: (video) => settings.described(video.settings),
      confirm: confirmed,
      fail: warn,
    });
    const on = { ready: () => say("A variation is ready"), failed: (error) => warnOf(error) };
    this.variations = new Variations(this.#library, this.gallery, on);
  }

  async prepare(model, canvas, longest) {
    this.model = model;
    this.keeping = new Keeping(this.#library, this.gallery, canvas, model.fps, longest);
    await this.#storage;
  }

  /** Show what is stored, and fetch what was being made when the page was left; `running` is this tab's own stream. */
  async load(running = null) {
    await this.gallery.load();
    for (const one of await this.#library.all("unfinished")) {
      if (one.id === running) continue;
      if (one.kind === "job") this.variations.follow(one);
      else this.keeping.recover(one).catch(warnOf);
    }
  }

  /** What a video is asked for with now, as it is kept with it. */
  asked() {
    const { id, fps, width, height } = this.model;
    const { text: prompt, beginning } = this.composer;
    return { model: id, fps, width, height, prompt, settings: this.settings.values, beginning };
  }

  /** Several videos of one prompt, which nobody watches while they are made. */
  async vary(count) {
    const { transition: _, ...wish } = { ...this.composer.asked, ...this.settings.wish }; // one prompt each
    const about = this.asked();
    say("Asking for the variations");
    this.composer.note = await admitted(() => this.variations.make(count, wish, about));
    this.composer.history.add(about.prompt);
    say(`${count} variations are being made; they come to your videos`);
  }

  /** What has ended need not be looked for when the page is loaded again. */
  async keepWhole(session, reel, still) {
    if (reel.length) await this.keeping.keep(session, reel, still);
    await this.keeping.end(session);
  }

  /** Nothing of it stays in this browser. */
  async forget() {
    this.composer.history.clear();
    await this.variations.cancelAll();
    await this.#library.clear();
  }

  #again(video) {
    this.settings.apply({ ...video.settings, seed: video.seed });
    this.composer.goOnFrom(video.beginning?.blob ? video.beginning : null);
    this.composer.write(video.prompt);
    if (!video.beginning || video.beginning.blob) return say("These are its prompt, settings and seed");
    return warn(`It went on from ${video.beginning.name}, which is too large to be kept: choose that file again.`);
  }
}
