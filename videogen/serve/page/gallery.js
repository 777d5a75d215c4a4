// The saved videos of this browser, newest first, and placeholders for those that are being generated.

import { byId, fileName, icon, make, saveAs, setText } from "./dom.js";
import { seconds, shorten, size } from "./format.js";
import { previewOnHover } from "./hover_preview.js";
import { promptOf, Viewer } from "./viewer.js";

const MAX_VIDEOS = 100;
const MAX_BYTES = 500_000_000;
const PERSISTENT = `They stay in this browser until you remove them: at most ${MAX_VIDEOS} videos and ${MAX_BYTES / 1_000_000} MB, then the oldest are removed.`;
const TEMPORARY = "This browser stores nothing for this page: videos are lost when you close it.";

export class Gallery {
  #items = new Map(); // id of a video -> {video, element, url, stored}

  /** `on` has continueFrom({kind, blob, name}), reuse(video), confirm(question) and fail(text). */
  constructor(library, on) {
    Object.assign(this, { library, on });
    this.list = byId("gallery");
    this.viewer = new Viewer(on);
    byId("gallery-clear").addEventListener("click", () => this.#clear());
    library.onChange(() => this.load());
  }

  /** Show the stored videos; called at the start, and when another tab has changed them. */
  async load() {
    const videos = (await this.library.all("videos")).sort((one, other) => one.createdAt - other.createdAt);
    const ids = new Set(videos.map(({ id }) => id));
    for (const [id, { stored }] of this.#items) if (stored && !ids.has(id)) this.#drop(id);
    for (const video of videos) if (!this.#items.has(video.id)) this.#place(video, true);
    this.#showTotals();
  }

  /**
   * Add a video: {id, createdAt, model, prompts, settings, seed, fps, duration, mp4, thumbnail, source}.
   * Evicts the oldest videos if there are too many.
   */
  async add(video) {
    if (this.#items.has(video.id)) this.#drop(video.id); // replaced by a longer version
    this.#place(video, false);
    for (const id of this.#excess()) await this.#remove(id);
    try {
      await this.#store(video);
      Object.assign(this.#items.get(video.id) ?? {}, { stored: this.library.persistent });
    } catch {
      this.on.fail("The browser has no room for this video: it is lost when you close this page.");
    }
    this.#showTotals();
  }

  /** A placeholder for a video in progress: {element, show(text, share), done()}. */
  addPlaceholder(prompt, cancel) {
    const text = make("p", { textContent: "" });
    const progress = make("progress", { max: 1, "aria-label": `Generating: ${shorten(prompt, 80)}` });
    const button = make("button", { type: "button", className: "icon quiet", "aria-label": "Cancel", title: "Cancel" }, [icon("remove")]);
    button.addEventListener("click", cancel);
    const element = make("li", { className: "placeholder" }, [progress, text, make("p", { textContent: prompt }), button]);
    this.list.prepend(element);
    const show = (status, share) => {
      setText(text, status);
      if (share === null) progress.removeAttribute("value");
      else progress.value = share;
    };
    return { element, show, done: () => removeItem(element) };
  }

  #place(video, stored) {
    const url = URL.createObjectURL(video.thumbnail);
    const element = this.#item(video, url);
    this.#items.set(video.id, { video, element, url, stored });
    const older = [...this.list.children].find((one) => Number(one.dataset.createdAt ?? Infinity) < video.createdAt);
    if (older) older.before(element);
    else this.list.append(element);
  }

  #drop(id) {
    const { element, url } = this.#items.get(id);
    this.#items.delete(id);
    removeItem(element);
    URL.revokeObjectURL(url);
  }

  async #remove(id) {
    this.#drop(id);
    this.#showTotals();
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
    return [...this.#items.values()].map(({ video }) => video).sort((one, other) => one.createdAt - other.createdAt);
  }

  /** Ids of the oldest videos beyond the limits. */
  #excess() {
    const videos = this.#byAge();
    let bytes = videos.reduce((sum, video) => sum + bytesOf(video), 0);
    const excess = [];
    while (videos.length > MAX_VIDEOS || (videos.length > 1 && bytes > MAX_BYTES)) {
      const oldest = videos.shift();
      bytes -= bytesOf(oldest);
      excess.push(oldest.id);
    }
    return excess;
  }

  async #clear() {
    const count = this.#items.size;
    const question = { title: "Remove all videos?", text: `This removes ${count} ${count === 1 ? "video" : "videos"} from this browser.`, action: "Remove all" };
    if (!(await this.on.confirm(question))) return;
    for (const id of [...this.#items.keys()]) await this.#remove(id);
    byId("prompt").focus();
  }

  #showTotals() {
    const videos = [...this.#items.values()].map(({ video }) => video);
    const count = `${videos.length} ${videos.length === 1 ? "video" : "videos"}, ${size(videos.reduce((sum, video) => sum + bytesOf(video), 0))}. `;
    const storage = this.library.persistent ? PERSISTENT : TEMPORARY;
    setText(byId("gallery-note"), videos.length ? count + storage : `Saved and finished videos appear here. ${storage}`);
    byId("gallery-clear").hidden = videos.length === 0;
  }

  #item(video, url) {
    const prompt = shorten(promptOf(video), 80);
    const details = make("span", { className: "details", textContent: `${seconds(video.duration)}, ${size(video.mp4.size)}` });
    const open = make("button", { type: "button", className: "saved", "aria-label": `Watch: ${prompt}`, title: promptOf(video) });
    open.append(make("img", { src: url, alt: "" }), details);
    open.addEventListener("click", () => this.viewer.open(video));
    previewOnHover(open, video.mp4);
    const tool = (name, label, action) => {
      const button = make("button", { type: "button", className: "icon quiet", "aria-label": `${label}: ${prompt}`, title: label }, [icon(name)]);
      button.addEventListener("click", action);
      return button;
    };
    const tools = make("span", { className: "saved-tools" }, [
      tool("download", "Download", () => saveAs(video.mp4, fileName(promptOf(video), "mp4"))),
      tool("branch", "Continue", () => this.viewer.continueFrom(video)),
      tool("reuse", "Reuse settings", () => this.on.reuse(video)),
      tool("remove", "Remove", () => this.#remove(video.id)),
    ]);
    const element = make("li", {}, [open, make("p", { textContent: prompt }), tools]);
    element.dataset.createdAt = video.createdAt;
    return element;
  }
}

/** Remove an item from a list and move the focus to its neighbor, or to the prompt. */
function removeItem(element) {
  const next = element.nextElementSibling ?? element.previousElementSibling;
  const focused = element.contains(document.activeElement);
  element.remove();
  if (focused) (next?.querySelector("button") ?? byId("prompt")).focus();
}

function bytesOf({ mp4, thumbnail, source }) {
  return mp4.size + thumbnail.size + (source?.blob?.size ?? 0);
}
