// A kept video plays in its place in the list while the pointer or the focus is on it: so variations are compared.

import { make } from "./dom.js";

const CALM = matchMedia("(prefers-reduced-motion: reduce)");

export function playOnHover(button, film) {
  let video = null;
  const start = () => {
    if (video || CALM.matches) return;
    video = make("video", { muted: true, loop: true, playsInline: true, "aria-hidden": "true", src: URL.createObjectURL(film) });
    button.append(video);
    video.play().catch(() => {}); // then the still stays
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
