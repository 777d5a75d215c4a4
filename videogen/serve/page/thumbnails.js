// Thumbnails of videos: from a canvas, or from an mp4.

import { make } from "./dom.js";

const MAX_WIDTH = 256; // pixels
const ATTEMPTS = 40;

/** A scaled copy of what a canvas or video shows now. */
export function thumbnailOf(source, width = source.width, height = source.height) {
  const scale = Math.min(1, MAX_WIDTH / width);
  const size = { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
  const copy = make("canvas", size);
  copy.getContext("2d").drawImage(source, 0, 0, size.width, size.height);
  return copy;
}

/** The middle frame of an mp4; a blank canvas if it cannot be decoded. */
export async function thumbnailOfVideo(mp4) {
  const url = URL.createObjectURL(mp4);
  const video = make("video", { muted: true, preload: "auto", src: url });
  try {
    await eventOf(video, "loadeddata");
    video.currentTime = video.duration / 2;
    await eventOf(video, "seeked");
    return await paintedThumbnail(video);
  } catch {
    return make("canvas", { width: 16, height: 16 });
  } finally {
    URL.revokeObjectURL(url);
    video.removeAttribute("src");
  }
}

/** On a busy machine a seek can finish before its frame can be drawn. */
async function paintedThumbnail(video) {
  let thumbnail = thumbnailOf(video, video.videoWidth, video.videoHeight);
  for (let attempt = 0; attempt < ATTEMPTS && !isPainted(thumbnail); attempt += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    thumbnail = thumbnailOf(video, video.videoWidth, video.videoHeight);
  }
  return thumbnail;
}

function isPainted(canvas) {
  return canvas.getContext("2d").getImageData(0, 0, 1, 1).data[3] > 0;
}

export function asJpeg(canvas) {
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? new Blob()), "image/jpeg", 0.9));
}

function eventOf(video, name) {
  return new Promise((resolve, reject) => {
    video.addEventListener(name, resolve, { once: true });
    video.addEventListener("error", reject, { once: true });
  });
}
