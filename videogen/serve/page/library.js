// What the browser stores for the page, in IndexedDB: videos, and work whose result has not been fetched yet.

const NAME = "videogen";
const VERSION = 1;
export const STORES = ["videos", "unfinished"]; // records with an id each

export class Library {
  #database = null;
  #channel = "BroadcastChannel" in window ? new BroadcastChannel("videogen.library") : null;

  /** A browser may have no storage for us; then everything is forgotten when the page is closed. */
  async open() {
    try {
      this.#database = await opened();
      this.#database.onversionchange = () => this.#database.close(); // a newer page in another tab goes first
    } catch {
      this.#database = null;
    }
  }

  get lasts() {
    return this.#database !== null;
  }

  /** Calls back when another tab has changed something. */
  onChange(act) {
    this.#channel?.addEventListener("message", act);
  }

  all(store) {
    return this.#database ? answer(this.#store(store, "readonly").getAll()) : Promise.resolve([]);
  }

  async has(store, id) {
    return this.#database !== null && (await answer(this.#store(store, "readonly").count(id))) > 0;
  }

  /** Rejects with a QuotaExceededError where there is no room for it. */
  put(store, record) {
    return this.#change(store, (records) => records.put(record));
  }

  remove(store, id) {
    return this.#change(store, (records) => records.delete(id));
  }

  async clear() {
    for (const store of STORES) await this.#change(store, (records) => records.clear());
  }

  async #change(store, act) {
    if (!this.#database) return;
    const records = this.#store(store, "readwrite");
    const done = finished(records.transaction);
    act(records);
    await done;
    this.#channel?.postMessage(store);
  }

  #store(name, mode) {
    return this.#database.transaction(name, mode).objectStore(name);
  }
}

function opened() {
  const request = indexedDB.open(NAME, VERSION);
  request.onupgradeneeded = () => STORES.forEach((name) => request.result.createObjectStore(name, { keyPath: "id" }));
  return answer(request);
}

function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function finished(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}
