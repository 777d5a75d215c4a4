// The tokens of the latent frame that is being decided: a grid on a canvas, filled in as the sampler goes on.

const CELL = 48; // pixels of the canvas for each token

export class Tokens {
  #shown = null; // drawn again when the colours change

  constructor(canvas, stage) {
    Object.assign(this, { canvas, stage });
    this.brush = canvas.getContext("2d");
    const again = () => this.#shown && this.show(this.#shown);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  /** `decided` has one 0 or 1 for each of height x width tokens, row by row. */
  show(grid) {
    const { height, width, decided } = grid;
    if (!height || !width || decided.length < height * width) return;
    this.#shown = grid;
    this.#fit(height, width);
    this.brush.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const colours = getComputedStyle(this.canvas);
    const [open, done] = ["--token-open", "--token-decided"].map((name) => colours.getPropertyValue(name));
    for (let place = 0; place < height * width; place += 1) {
      this.brush.fillStyle = decided[place] ? done : open;
      this.#cell(place % width, Math.floor(place / width), decided[place] === 1);
    }
    this.stage.dataset.deciding = decided.includes(0) ? "yes" : "no";
  }

  /** The last proposal decides the rest: nobody tells of that but the picture that the tokens become. */
  becomePicture(number) {
    if (this.#shown?.number !== number) return;
    this.show({ ...this.#shown, decided: this.#shown.decided.map(() => 1) });
  }

  /** All of them open: what stands on the stage before anything is made. */
  blank(height, width) {
    this.show({ height, width, decided: new Uint8Array(height * width) });
    this.stage.dataset.deciding = "no";
  }

  #fit(height, width) {
    const size = { height: height * CELL, width: width * CELL };
    if (this.canvas.width !== size.width || this.canvas.height !== size.height) Object.assign(this.canvas, size);
  }

  #cell(column, row, decided) {
    this.brush.beginPath();
    const inset = CELL * (decided ? 0.12 : 0.38);
    const side = CELL - 2 * inset;
    this.brush.roundRect(column * CELL + inset, row * CELL + inset, side, side, decided ? CELL / 8 : side / 2);
    this.brush.fill();
  }
}
