// Small values in localStorage: view options and prompts. Without storage, they last until the page is closed.

export function loadItem(name) {
  try {
    return localStorage.getItem(`videogen.${name}`);
  } catch {
    return null;
  }
}

export function storeItem(name, value) {
  try {
    localStorage.setItem(`videogen.${name}`, value);
  } catch {
    // no storage
  }
}

export function removeItem(name) {
  try {
    localStorage.removeItem(`videogen.${name}`);
  } catch {
    // no storage
  }
}
