// Small things that the browser remembers for the page: choices of view, prompts.

export function recall(name) {
  try {
    return localStorage.getItem(`videogen.${name}`);
  } catch {
    return null; // a browser that stores nothing
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(`videogen.${name}`, value);
  } catch {
    // then it holds until the page is closed
  }
}

export function forget(name) {
  try {
    localStorage.removeItem(`videogen.${name}`);
  } catch {
    // nothing was stored
  }
}
