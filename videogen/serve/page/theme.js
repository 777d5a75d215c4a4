// The theme: system, light or dark. A classic script, so that it runs before the first paint.
"use strict";

(() => {
  const THEMES = ["system", "light", "dark"];
  const KEY = "videogen.theme";

  function loadTheme() {
    try {
      const theme = localStorage.getItem(KEY);
      return THEMES.includes(theme) ? theme : "system";
    } catch {
      return "system"; // no storage
    }
  }

  function storeTheme(theme) {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // no storage: it lasts until the page is closed
    }
  }

  function apply(theme) {
    document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) {
      button.setAttribute("aria-label", `Theme: ${theme}`);
      button.title = `Theme: ${theme}`;
    }
  }

  function next() {
    const now = document.documentElement.dataset.theme;
    const theme = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    storeTheme(theme);
    apply(theme);
  }

  apply(loadTheme());
  document.addEventListener("DOMContentLoaded", () => {
    apply(loadTheme());
    document.getElementById("theme").addEventListener("click", next);
  });
})();
