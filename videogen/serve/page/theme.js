// Colours as the system has them, light, or dark. A classic script, so that it runs before the first paint.
"use strict";

(() => {
  const WORDS = { system: "as the system has them", light: "light", dark: "dark" };
  const ORDER = Object.keys(WORDS);
  const KEY = "videogen.theme";

  function remembered() {
    try {
      const theme = localStorage.getItem(KEY);
      return ORDER.includes(theme) ? theme : "system";
    } catch {
      return "system"; // a browser that stores nothing
    }
  }

  function remember(theme) {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // then it holds until the page is closed
    }
  }

  function apply(theme) {
    document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) {
      button.setAttribute("aria-label", `Colours: ${WORDS[theme]}`);
      button.title = `Colours: ${WORDS[theme]}`;
    }
  }

  function next() {
    const now = document.documentElement.dataset.theme;
    const theme = ORDER[(ORDER.indexOf(now) + 1) % ORDER.length];
    remember(theme);
    apply(theme);
  }

  apply(remembered());
  document.addEventListener("DOMContentLoaded", () => {
    apply(remembered());
    document.getElementById("theme").addEventListener("click", next);
  });
})();
