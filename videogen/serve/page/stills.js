// One picture that stands for a video: of what is on screen, or out of a film.

import { make } from "./dom.js";

const WIDEST = 256; // pixels

/** What a canvas shows now, as a canvas of its own. */
export function stillOf(source, width = source.width, height = source.height) {
  const scale = Math.min(1, WIDEST / width);
  const size = { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
  const copy = make("canvas", size);
  copy.getContext("2d").drawImage(source, 0, 0, size.width, size.height);
  return copy;
}

/** The middle of an mp4; a film that this browser cannot decode is stood for by an empty picture. */
export async function stillOfFilm(film) {
  const url = URL.createObjectURL(film);
  const video = make("video", { muted: true, preload: "auto", src: url });
  try {
    await happened(video, "loadeddata");
    video.currentTime = video.duration / 2;
    await happened(video, "seeked");
    return stillOf(video, video.videoWidth, video.videoHeight);
  } catch {
    return make("canvas", { width: 16, height: 16 });
  } finally {
    URL.revokeObjectURL(url);
    video.removeAttribute("src");
  }
}

export function asJpeg(canvas) {
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? new Blob()), "image/jpeg", 0.9));
}

function happened(video, name) {
  return new Promise((resolve, reject) => {
    video.addEventListener(name, resolve, { once: true });
    video.addEventListener("error", reject, { once: true });
  });
}
