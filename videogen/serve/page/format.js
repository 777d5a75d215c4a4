// Numbers, sizes and messages as text.

export function seconds(value) {
  if (value < 60) return `${value.toFixed(1)} s`;
  const minutes = Math.floor(value / 60);
  return `${minutes}:${(value - 60 * minutes).toFixed(1).padStart(4, "0")}`;
}

export function spellSeconds(value) {
  return `${value.toFixed(1)} seconds`;
}

export function size(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  if (bytes < 1_000_000) return `${Math.round(bytes / 1000)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

export function delay(value) {
  return value < 1 ? `${Math.round(1000 * value)} ms` : `${value.toFixed(1)} s`;
}

export function rate(value) {
  return value < 10 ? value.toFixed(1) : String(Math.round(value));
}

/** Capitalize a message of the server and end it with a period. */
export function asSentence(text) {
  const capitalized = text.slice(0, 1).toUpperCase() + text.slice(1);
  return /[.?!…]$/.test(capitalized) ? capitalized : `${capitalized}.`;
}

export function shorten(text, length) {
  return text.length <= length ? text : `${text.slice(0, length - 1).trimEnd()}…`;
}
