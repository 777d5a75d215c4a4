// Plays a saved video in the list while the pointer or the focus is on it, to compare variations.

import { make } from "./dom.js";

const REDUCED_MOTION = matchMedia("(prefers-reduced-motion: reduce)");

export function previewOnHover(button, mp4) {
  let video = null;
  const start = () => {
    if (video || REDUCED_MOTION.matches) return;
    video = make("video", { muted: true, loop: true, playsInline: true, "aria-hidden": "true", src: URL.createObjectURL(mp4) });
    button.append(video);
    video.play().catch(() => {}); // the thumbnail stays
  };
  const stop = () => {
    if (!video || button.matches(":hover, :focus")) return;
    URL.revokeObjectURL(video.src);
    video.remove();
    video = null;
  };
  for (const name of ["pointerenter", "focus"]) button.addEventListener(name, start);
  for (const name of ["pointerleave", "blur"]) button.addEventListener(name, stop);
}
