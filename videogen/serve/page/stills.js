// One picture that stands for a video: of what is on screen, or out of a film.

import { make } from "./dom.js";

const WIDEST = 256; // pixels
const ATTEMPTS = 40;

/** What a canvas shows now, as a canvas of its own. */
export function stillOf(source, width = source.width, height = source.height) {
  const scale = Math.min(1, WIDEST / width);
  const size = { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
  const copy = make("canvas", size);
  copy.getContext("2d").drawImage(source, 0, 0, size.width, size.height);
  return copy;
}

/** The middle of an mp4; an empty picture if it cannot be decoded. */
export async function stillOfFilm(film) {
  const url = URL.createObjectURL(film);
  const video = make("video", { muted: true, preload: "auto", src: url });
  try {
    await happened(video, "loadeddata");
    video.currentTime = video.duration / 2;
    await happened(video, "seeked");
    return await paintedStill(video);
  } catch {
    return make("canvas", { width: 16, height: 16 });
  } finally {
    URL.revokeObjectURL(url);
    video.removeAttribute("src");
  }
}

/** On a busy machine a place in a film can be found before its picture can be drawn. */
async function paintedStill(video) {
  let still = stillOf(video, video.videoWidth, video.videoHeight);
  for (let attempt = 0; attempt < ATTEMPTS && !isPainted(still); attempt += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    still = stillOf(video, video.videoWidth, video.videoHeight);
  }
  return still;
}

function isPainted(canvas) {
  return canvas.getContext("2d").getImageData(0, 0, 1, 1).data[3] > 0;
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
