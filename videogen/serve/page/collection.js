// The user's videos: saved videos, variations in progress, and videos recovered after a reload.

import { askToConfirm } from "./confirm.js";
import { Gallery } from "./gallery.js";
import { Library } from "./library.js";
import { withLogin } from "./login.js";
import { setStatus, showError, showNotice } from "./notices.js";
import { VideoSaver } from "./saving.js";
import { Variations } from "./variations.js";

export class Collection {
  #library = new Library();
  #opened = this.#library.open();

  constructor(composer, settings) {
    Object.assign(this, { composer, settings });
    this.gallery = new Gallery(this.#library, {
      continueFrom: (source) => composer.setSource(source),
      reuse: (video) => this.#reuse(video),
      describeSettings: (video) => settings.describe(video.settings),
      confirm: askToConfirm,
      fail: showNotice,
    });
    const on = { ready: () => setStatus("A variation is ready"), failed: (error) => showError(error) };
    this.variations = new Variations(this.#library, this.gallery, on);
  }

  async prepare(model, canvas, longest) {
    this.model = model;
    this.saver = new VideoSaver(this.#library, this.gallery, canvas, model.fps, longest);
    await this.#opened;
  }

  /** Show the stored videos and fetch those that were unfinished when the page was left; `running` is this tab's stream. */
  async load(running = null) {
    await this.gallery.load();
    for (const item of await this.#library.all("unfinished")) {
      if (item.id === running) continue;
      if (item.kind === "job") this.variations.follow(item);
      else this.saver.recover(item).catch(showError);
    }
  }

  /** What the form asks for now, as it is stored with the video. */
  currentRequest() {
    const { id, fps, width, height } = this.model;
    const { text: prompt, source } = this.composer;
    return { model: id, fps, width, height, prompt, settings: this.settings.values, source };
  }

  /** Generate several videos of one prompt as jobs. */
  async makeVariations(count) {
    const { transition: _, ...params } = { ...this.composer.promptFields, ...this.settings.overrides }; // jobs have one prompt
    const request = this.currentRequest();
    setStatus("Requesting variations");
    this.composer.note = await withLogin(() => this.variations.make(count, params, request));
    this.composer.history.add(request.prompt);
    setStatus(`Generating ${count} variations; they will appear in your videos`);
  }

  /** Save a finished stream; it need not be recovered after a reload. */
  async saveFinished(session, buffer, thumbnail) {
    if (buffer.length) await this.saver.save(session, buffer, thumbnail);
    await this.saver.end(session);
  }

  /** Remove everything from this browser. */
  async clear() {
    this.composer.history.clear();
    await this.variations.cancelAll();
    await this.#library.clear();
  }

  #reuse(video) {
    this.settings.apply({ ...video.settings, seed: video.seed });
    this.composer.setSource(video.source?.blob ? video.source : null);
    this.composer.write(video.prompt);
    if (!video.source || video.source.blob) return setStatus("Loaded its prompt, settings and seed");
    return showNotice(`The video continued ${video.source.name}, which was too large to store: choose that file again.`);
  }
}
