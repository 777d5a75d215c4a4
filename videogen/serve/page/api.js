// The server's HTTP interface, as far as the page needs it. Every failure is a Failure with one line for people.

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, ""); // where a proxy has put the server; "" at the top

export class Failure extends Error {
  constructor(message, { status = 0, param = null, code = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, param, code, retryAfter });
  }
}

/** A response that went well; anything else is a Failure. */
export async function ask(path, { method = "GET", json, form, signal, keepalive = false } = {}) {
  const headers = json === undefined ? {} : { "Content-Type": "application/json" };
  const body = json === undefined ? form : JSON.stringify(json);
  let response;
  try {
    response = await fetch(ROOT + path, { method, headers, body, signal, keepalive, cache: "no-store", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server does not answer. Is videogen serve still running?", { code: "unreachable" });
  }
  if (!response.ok) throw await failureOf(response);
  return response;
}

async function failureOf(response) {
  const { error } = await response.json().catch(() => ({}));
  const known = error && typeof error.message === "string";
  const retry = Number(response.headers.get("Retry-After"));
  return new Failure(known ? error.message : `The server answers ${response.status}, and does not say why.`, {
    status: response.status,
    param: known ? error.param : null,
    code: known ? error.code : null,
    retryAfter: Number.isFinite(retry) && retry > 0 ? retry : null,
  });
}

/** The token is sent this once; from then on a cookie that no script can read stands for it. */
export async function logIn(token) {
  await ask("/login", { method: "POST", json: { token } });
}

/** Ends the login, here and wherever its cookie was copied to. */
export async function logOut() {
  await ask("/logout", { method: "POST" });
}

/** {needed, logged_in}: whether the server asks for a token, and whether this browser has shown it. */
export async function loginState() {
  return (await ask("/login")).json();
}

export async function firstModel() {
  const { data } = await (await ask("/v1/models")).json();
  if (!data?.length) throw new Failure("The server has no model.");
  return data[0];
}

export async function limits() {
  return (await ask("/v1/limits")).json();
}

/** Begin a stream. A beginning is {kind: "clip" | "image", blob, name}. */
export function openStream(wish, beginning, signal) {
  return posted("/v1/streams", wish, beginning, beginning?.kind, signal);
}

/** Have a video of a length made, without watching. */
export function createVideo(wish, beginning) {
  return posted("/v1/videos", wish, beginning, "input_reference");
}

/** A file makes the request a form. */
async function posted(path, wish, file, field, signal) {
  if (!file) return (await ask(path, { method: "POST", json: wish, signal })).json();
  const form = new FormData();
  for (const [name, value] of Object.entries(wish)) form.append(name, String(value));
  form.append(field, file.blob, file.name);
  return (await ask(path, { method: "POST", form, signal })).json();
}

const placeOfVideo = (id) => `/v1/videos/${encodeURIComponent(id)}`;

export const video = {
  get: async (id) => (await ask(placeOfVideo(id))).json(),
  content: async (id) => (await ask(`${placeOfVideo(id)}/content`)).blob(),
  remove: (id) => ask(placeOfVideo(id), { method: "DELETE" }),
};

const place = (id) => `/v1/streams/${encodeURIComponent(id)}`;

export const stream = {
  get: async (id) => (await ask(place(id))).json(),
  change: async (id, changes) => (await ask(place(id), { method: "PATCH", json: changes })).json(),
  close: (id, keepalive = false) => ask(place(id), { method: "DELETE", keepalive }),
  preview: (id, signal) => ask(`${place(id)}/preview`, { signal }),
  film: (id, signal) => ask(`${place(id)}/video`, { signal }),
  recent: async (id, seconds) => (await ask(`${place(id)}/recent?seconds=${seconds}`)).blob(),
};
