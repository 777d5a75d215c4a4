// Clips and images from outside the page: dropped, pasted or chosen.

import { byId } from "./dom.js";
import { size } from "./format.js";

const SUFFIXES = { clip: /\.(mp4|m4v|mov|mkv|webm|avi|gif)$/i, image: /\.(png|jpe?g|webp|bmp|tiff?)$/i };
const FORMATS = "an mp4, webm, gif, png or jpeg";

/** Calls `onFile` with {kind: "clip" | "image", blob, name}, or `onRefused` with the reason why a file cannot be used. */
export function listenForFiles(onFile, onRefused, maxBytes) {
  const receive = (file, name = file.name) => {
    const reason = reasonAgainst(file, name, maxBytes());
    if (reason) onRefused(reason);
    else onFile({ kind: kindOf(file), blob: file, name });
  };
  listenForDrops(receive);
  addEventListener("paste", (event) => onPaste(event, receive));
  byId("file").addEventListener("change", ({ target }) => {
    if (target.files.length) receive(target.files[0]);
    target.value = ""; // so that the same file can be chosen again
  });
}

function reasonAgainst(file, name, maxBytes) {
  if (!kindOf(file)) return `${name} is neither a clip nor an image; choose ${FORMATS}.`;
  if (file.size > maxBytes) return `${name} has ${size(file.size)}; the server accepts at most ${size(maxBytes)}.`;
  return null;
}

/** Copied text is pasted as text, even if the clipboard also holds an image of it. */
function onPaste(event, receive) {
  const { files, types } = event.clipboardData ?? { files: [], types: [] };
  if (!files.length || types.includes("text/plain") || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  const unnamed = /^image\.\w+$/.test(files[0].name); // the name that browsers give to copied pixels
  receive(files[0], unnamed ? "pasted image" : files[0].name);
}

function listenForDrops(receive) {
  const overlay = byId("dropping");
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => hasFiles(event) && (overlay.hidden = false));
  addEventListener("dragleave", (event) => event.relatedTarget === null && (overlay.hidden = true));
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!hasFiles(event) && event.target.closest?.("textarea, input")) return; // text goes into the field
    event.preventDefault(); // some browsers would navigate to the dropped file
    overlay.hidden = true;
    if (event.dataTransfer.files.length) receive(event.dataTransfer.files[0]);
  });
}

function kindOf({ type, name }) {
  if (type === "image/gif") return "clip"; // animated
  if (type.startsWith("video/") || SUFFIXES.clip.test(name)) return "clip";
  return type.startsWith("image/") || SUFFIXES.image.test(name) ? "image" : null;
}
