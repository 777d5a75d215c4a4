// Keyboard shortcuts of the player, active while it has the focus; each has a button that does the same.

export function listenForShortcuts(stage, { playOrPause, seek, position }) {
  stage.addEventListener("keydown", (event) => {
    if (event.target !== stage || event.ctrlKey || event.altKey || event.metaKey) return;
    const [now, buffer] = position();
    const actions = {
      " ": playOrPause,
      ArrowLeft: () => seek(now - 1),
      ArrowRight: () => seek(now + 1),
      Home: () => seek(buffer.first),
      End: () => seek(Infinity),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault(); // the page would scroll
    action();
  });
}
