// The tokens of the latent frame that is being sampled: a grid on a canvas that fills up step by step.

const CELL = 48; // canvas pixels per token

export class TokenGrid {
  #shown = null; // drawn again when the theme changes

  constructor(canvas, stage) {
    Object.assign(this, { canvas, stage });
    this.brush = canvas.getContext("2d");
    const redraw = () => this.#shown && this.show(this.#shown);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  /** `decided` holds a 0 or 1 for each of height x width tokens, row by row. */
  show(grid) {
    const { height, width, decided } = grid;
    if (!height || !width || decided.length < height * width) return;
    this.#shown = grid;
    this.#fit(height, width);
    this.brush.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const style = getComputedStyle(this.canvas);
    const [open, done] = ["--token-open", "--token-decided"].map((name) => style.getPropertyValue(name));
    for (let index = 0; index < height * width; index += 1) {
      this.brush.fillStyle = decided[index] ? done : open;
      this.#cell(index % width, Math.floor(index / width), decided[index] === 1);
    }
    this.stage.dataset.deciding = decided.includes(0) ? "yes" : "no";
  }

  /** The last step sends no mask of its own: the arrival of the decoded frame completes the grid. */
  markDecoded(number) {
    if (this.#shown?.number !== number) return;
    this.show({ ...this.#shown, decided: this.#shown.decided.map(() => 1) });
  }

  /** All tokens undecided: what the stage shows before anything is generated. */
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
