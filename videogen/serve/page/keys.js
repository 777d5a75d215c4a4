// Keys of the player, where it has the focus; everything they do can be done with the buttons too.

export function listenForKeys(stage, { playOrPause, seek, place }) {
  stage.addEventListener("keydown", (event) => {
    if (event.target !== stage || event.ctrlKey || event.altKey || event.metaKey) return;
    const [now, reel] = place();
    const acts = {
      " ": playOrPause,
      ArrowLeft: () => seek(now - 1),
      ArrowRight: () => seek(now + 1),
      Home: () => seek(reel.first),
      End: () => seek(Infinity),
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault(); // the page would scroll
    act();
  });
}
