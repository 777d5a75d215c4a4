// Clips and pictures that come from outside: dropped, pasted or chosen.

import { byId } from "./dom.js";
import { size } from "./words.js";

const SUFFIXES = { clip: /\.(mp4|m4v|mov|mkv|webm|avi|gif)$/i, image: /\.(png|jpe?g|webp|bmp|tiff?)$/i };
const FORMATS = "an mp4, webm, gif, png or jpeg";

/** `onFile` is called with {kind: "clip" | "image", blob, name}, `onRefused` with the reason why a file is none. */
export function listenForFiles(onFile, onRefused, mostBytes) {
  const take = (file, name = file.name) => {
    const reason = reasonAgainst(file, name, mostBytes());
    if (reason) onRefused(reason);
    else onFile({ kind: kindOf(file), blob: file, name });
  };
  listenForDrops(take);
  addEventListener("paste", (event) => onPaste(event, take));
  byId("file").addEventListener("change", ({ target }) => {
    if (target.files.length) take(target.files[0]);
    target.value = ""; // the same file can be chosen again
  });
}

function reasonAgainst(file, name, mostBytes) {
  if (!kindOf(file)) return `${name} is neither a clip nor a picture; choose ${FORMATS}.`;
  if (file.size > mostBytes) return `${name} has ${size(file.size)}; the server takes at most ${size(mostBytes)}.`;
  return null;
}

/** Copied text is pasted as text, even where a picture of it was copied too. */
function onPaste(event, take) {
  const { files, types } = event.clipboardData ?? { files: [], types: [] };
  if (!files.length || types.includes("text/plain") || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  const copied = /^image\.\w+$/.test(files[0].name); // browsers name copied pixels so, a copied file keeps its name
  take(files[0], copied ? "pasted picture" : files[0].name);
}

function listenForDrops(take) {
  const curtain = byId("dropping");
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => carries(event) && (curtain.hidden = false));
  addEventListener("dragleave", (event) => event.relatedTarget === null && (curtain.hidden = true));
  addEventListener("dragover", (event) => carries(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!carries(event) && event.target.closest?.("textarea, input")) return; // text goes into the field
    event.preventDefault(); // otherwise some browsers leave the page for what is dropped
    curtain.hidden = true;
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
}

function kindOf({ type, name }) {
  if (type === "image/gif") return "clip"; // it moves
  if (type.startsWith("video/") || SUFFIXES.clip.test(name)) return "clip";
  return type.startsWith("image/") || SUFFIXES.image.test(name) ? "image" : null;
}
