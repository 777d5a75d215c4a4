// The parts of the HTTP API that the page uses. Every failure is an ApiError with a one-line message.

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, ""); // path prefix behind a proxy; "" without one

export class ApiError extends Error {
  constructor(message, { status = 0, param = null, code = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, param, code, retryAfter });
  }
}

/** A successful response; throws an ApiError otherwise. */
export async function send(path, { method = "GET", json, form, signal, keepalive = false } = {}) {
  const headers = json === undefined ? {} : { "Content-Type": "application/json" };
  const body = json === undefined ? form : JSON.stringify(json);
  let response;
  try {
    response = await fetch(ROOT + path, { method, headers, body, signal, keepalive, cache: "no-store", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer. Is videogen serve still running?", { code: "unreachable" });
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

async function errorOf(response) {
  const { error } = await response.json().catch(() => ({}));
  const known = error && typeof error.message === "string";
  const retry = Number(response.headers.get("Retry-After"));
  return new ApiError(known ? error.message : `The server answers ${response.status} without a reason.`, {
    status: response.status,
    param: known ? error.param : null,
    code: known ? error.code : null,
    retryAfter: Number.isFinite(retry) && retry > 0 ? retry : null,
  });
}

/** Exchange the token for a cookie that scripts cannot read. */
export async function logIn(token) {
  await send("/login", { method: "POST", json: { token } });
}

/** End the login, for every copy of its cookie. */
export async function logOut() {
  await send("/logout", { method: "POST" });
}

/** {needed, logged_in}: whether the server requires a token, and whether this browser has logged in. */
export async function loginState() {
  return (await send("/login")).json();
}

export async function firstModel() {
  const { data } = await (await send("/v1/models")).json();
  if (!data?.length) throw new ApiError("The server has no model.");
  return data[0];
}

export async function limits() {
  return (await send("/v1/limits")).json();
}

/** Start a stream; `source` is null or {kind: "clip" | "image", blob, name}. */
export function openStream(params, source, signal) {
  return post("/v1/streams", params, source, source?.kind, signal);
}

/** Create a job that generates a video of fixed length. */
export function createVideo(params, source) {
  return post("/v1/videos", params, source, "input_reference");
}

/** POST JSON, or a form if there is a file. */
async function post(path, params, file, field, signal) {
  if (!file) return (await send(path, { method: "POST", json: params, signal })).json();
  const form = new FormData();
  for (const [name, value] of Object.entries(params)) form.append(name, String(value));
  form.append(field, file.blob, file.name);
  return (await send(path, { method: "POST", form, signal })).json();
}

const videoPath = (id) => `/v1/videos/${encodeURIComponent(id)}`;

export const video = {
  get: async (id) => (await send(videoPath(id))).json(),
  content: async (id) => (await send(`${videoPath(id)}/content`)).blob(),
  remove: (id) => send(videoPath(id), { method: "DELETE" }),
};

const streamPath = (id) => `/v1/streams/${encodeURIComponent(id)}`;

export const stream = {
  get: async (id) => (await send(streamPath(id))).json(),
  change: async (id, changes) => (await send(streamPath(id), { method: "PATCH", json: changes })).json(),
  close: (id, keepalive = false) => send(streamPath(id), { method: "DELETE", keepalive }),
  preview: (id, signal) => send(`${streamPath(id)}/preview`, { signal }),
  video: (id, signal) => send(`${streamPath(id)}/video`, { signal }),
  recent: async (id, seconds) => (await send(`${streamPath(id)}/recent?seconds=${seconds}`)).blob(),
};
