// The page's IndexedDB database: saved videos, and requests whose results have not been fetched yet.

const NAME = "videogen";
const VERSION = 2;
const STORES = ["videos", "unfinished"]; // of records with an id
const RENAMED = { film: "mp4", still: "thumbnail", made: "createdAt", length: "duration", beginning: "source" }; // in version 2

export class Library {
  #database = null;
  #channel = "BroadcastChannel" in window ? new BroadcastChannel("videogen.library") : null;

  /** If the browser provides no storage, everything is lost when the page is closed. */
  async open() {
    try {
      this.#database = await openDatabase();
      this.#database.onversionchange = () => this.#database.close(); // lets a newer page in another tab upgrade
    } catch {
      this.#database = null;
    }
  }

  get persistent() {
    return this.#database !== null;
  }

  /** Calls back when another tab has changed something. */
  onChange(callback) {
    this.#channel?.addEventListener("message", callback);
  }

  all(store) {
    return this.#database ? resultOf(this.#store(store, "readonly").getAll()) : Promise.resolve([]);
  }

  async has(store, id) {
    return this.#database !== null && (await resultOf(this.#store(store, "readonly").count(id))) > 0;
  }

  /** Rejects with a QuotaExceededError if there is no room. */
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
    const done = completionOf(records.transaction);
    act(records);
    await done;
    this.#channel?.postMessage(store);
  }

  #store(name, mode) {
    return this.#database.transaction(name, mode).objectStore(name);
  }
}

function openDatabase() {
  const request = indexedDB.open(NAME, VERSION);
  request.onupgradeneeded = ({ oldVersion }) => {
    if (oldVersion === 0) STORES.forEach((name) => request.result.createObjectStore(name, { keyPath: "id" }));
    else STORES.forEach((name) => upgrade(request.transaction.objectStore(name)));
  };
  return resultOf(request);
}

/** Rewrites the records of version 1 under the names of version 2. */
function upgrade(store) {
  store.openCursor().onsuccess = ({ target: { result: cursor } }) => {
    if (!cursor) return;
    const { about, ...record } = renamed(cursor.value);
    cursor.update(about ? { ...record, request: renamed(about) } : record);
    cursor.continue();
  };
}

function renamed(record) {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [RENAMED[name] ?? name, value]));
}

function resultOf(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function completionOf(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}
