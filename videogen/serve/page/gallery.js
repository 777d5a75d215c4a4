// The videos that this browser keeps, newest first, and those that are still being made for them.

import { byId, fileName, icon, make, saveAs, setText } from "./dom.js";
import { playOnHover } from "./hover.js";
import { promptOf, Viewer } from "./viewer.js";
import { seconds, shortened, size } from "./words.js";

const MOST = 100;
const MOST_BYTES = 500_000_000;
const LASTING = `They stay in this browser until you remove them: at most ${MOST} and ${MOST_BYTES / 1_000_000} MB, then the oldest make room.`;
const PASSING = "This browser stores nothing for this page: they stay until it is closed.";

export class Gallery {
  #kept = new Map(); // the id of a video -> {video, element, url, stored}

  /** `on` has continueFrom({kind, blob, name}), again(video), confirm(question) and fail(text). */
  constructor(library, on) {
    Object.assign(this, { library, on });
    this.list = byId("gallery");
    this.viewer = new Viewer(on);
    byId("gallery-clear").addEventListener("click", () => this.#clear());
    library.onChange(() => this.load());
  }

  /** Show what is stored: at the beginning, and when another tab has changed it. */
  async load() {
    const videos = (await this.library.all("videos")).sort((one, other) => one.made - other.made);
    const ids = new Set(videos.map(({ id }) => id));
    for (const [id, { stored }] of this.#kept) if (stored && !ids.has(id)) this.#drop(id);
    for (const video of videos) if (!this.#kept.has(video.id)) this.#place(video, true);
    this.#show();
  }

  /** Keep a video: {id, made, model, prompts, settings, seed, fps, length, film, still, beginning}. The oldest make room. */
  async add(video) {
    if (this.#kept.has(video.id)) this.#drop(video.id); // it has grown
    this.#place(video, false);
    for (const id of this.#tooMany()) await this.#remove(id);
    try {
      await this.#store(video);
      Object.assign(this.#kept.get(video.id) ?? {}, { stored: this.library.lasts });
    } catch {
      this.on.fail("The browser has no room for this video: it stays until this page is closed.");
    }
    this.#show();
  }

  /** A place for a video that is being made: {element, show(text, share), done()}. */
  expect(prompt, cancel) {
    const text = make("p", { textContent: "" });
    const progress = make("progress", { max: 1, "aria-label": `Being made: ${shortened(prompt, 80)}` });
    const button = make("button", { type: "button", className: "icon quiet", "aria-label": "Cancel it", title: "Cancel it" }, [icon("remove")]);
    button.addEventListener("click", cancel);
    const element = make("li", { className: "expected" }, [progress, text, make("p", { textContent: prompt }), button]);
    this.list.prepend(element);
    const show = (words, share) => {
      setText(text, words);
      if (share === null) progress.removeAttribute("value");
      else progress.value = share;
    };
    return { element, show, done: () => leave(element) };
  }

  #place(video, stored) {
    const url = URL.createObjectURL(video.still);
    const element = this.#item(video, url);
    this.#kept.set(video.id, { video, element, url, stored });
    const older = [...this.list.children].find((one) => Number(one.dataset.made ?? Infinity) < video.made);
    if (older) older.before(element);
    else this.list.append(element);
  }

  #drop(id) {
    const { element, url } = this.#kept.get(id);
    this.#kept.delete(id);
    leave(element);
    URL.revokeObjectURL(url);
  }

  async #remove(id) {
    this.#drop(id);
    this.#show();
    await this.library.remove("videos", id);
  }

  async #store(video) {
    for (;;) {
      try {
        return await this.library.put("videos", video);
      } catch (error) {
        const oldest = this.#byAge().find(({ id }) => id !== video.id);
        if (error?.name !== "QuotaExceededError" || !oldest) throw error;
        await this.#remove(oldest.id);
      }
    }
  }

  #byAge() {
    return [...this.#kept.values()].map(({ video }) => video).sort((one, other) => one.made - other.made);
  }

  #tooMany() {
    const videos = this.#byAge();
    let bytes = videos.reduce((sum, video) => sum + bytesOf(video), 0);
    const found = [];
    while (videos.length > MOST || (videos.length > 1 && bytes > MOST_BYTES)) {
      const oldest = videos.shift();
      bytes -= bytesOf(oldest);
      found.push(oldest.id);
    }
    return found;
  }

  async #clear() {
    const count = this.#kept.size;
    const question = { title: "Remove all videos?", text: `${count} ${count === 1 ? "video is" : "videos are"} removed from this browser.`, word: "Remove all" };
    if (!(await this.on.confirm(question))) return;
    for (const id of [...this.#kept.keys()]) await this.#remove(id);
    byId("prompt").focus();
  }

  #show() {
    const videos = [...this.#kept.values()].map(({ video }) => video);
    const count = `${videos.length} ${videos.length === 1 ? "video" : "videos"}, ${size(videos.reduce((sum, video) => sum + bytesOf(video), 0))}. `;
    const place = this.library.lasts ? LASTING : PASSING;
    setText(byId("gallery-note"), videos.length ? count + place : `What you keep and what has ended comes here. ${place}`);
    byId("gallery-clear").hidden = videos.length === 0;
  }

  #item(video, url) {
    const words = shortened(promptOf(video), 80);
    const facts = make("span", { className: "facts", textContent: `${seconds(video.length)}, ${size(video.film.size)}` });
    const open = make("button", { type: "button", className: "kept", "aria-label": `Watch: ${words}`, title: promptOf(video) });
    open.append(make("img", { src: url, alt: "" }), facts);
    open.addEventListener("click", () => this.viewer.open(video));
    playOnHover(open, video.film);
    const act = (name, label, action) => {
      const button = make("button", { type: "button", className: "icon quiet", "aria-label": `${label}: ${words}`, title: label }, [icon(name)]);
      button.addEventListener("click", action);
      return button;
    };
    const tools = make("span", { className: "kept-tools" }, [
      act("download", "Download", () => saveAs(video.film, fileName(promptOf(video), "mp4"))),
      act("branch", "Continue it", () => this.viewer.continueFrom(video)),
      act("again", "Use these settings again", () => this.on.again(video)),
      act("remove", "Remove", () => this.#remove(video.id)),
    ]);
    const element = make("li", {}, [open, make("p", { textContent: words }), tools]);
    element.dataset.made = video.made;
    return element;
  }
}

/** Take an item out of a list; the focus goes to the next one, or to the prompt. */
function leave(element) {
  const next = element.nextElementSibling ?? element.previousElementSibling;
  const focused = element.contains(document.activeElement);
  element.remove();
  if (focused) (next?.querySelector("button") ?? byId("prompt")).focus();
}

function bytesOf({ film, still, beginning }) {
  return film.size + still.size + (beginning?.blob?.size ?? 0);
}
