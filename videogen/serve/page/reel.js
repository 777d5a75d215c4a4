// The pictures of one video that the page remembers, and where its prompt changed.

export const MOST_BYTES = 64 * 2 ** 20;
export const MOST_PICTURES = 20_000;

export class Reel {
  #pictures = []; // {number, jpeg}, numbers growing
  #bytes = 0;
  marks = []; // {picture, prompt}, pictures growing

  constructor(mostBytes = MOST_BYTES, mostPictures = MOST_PICTURES) {
    this.mostBytes = mostBytes;
    this.mostPictures = mostPictures;
  }

  get length() {
    return this.#pictures.length;
  }

  get bytes() {
    return this.#bytes;
  }

  get first() {
    return this.length ? this.#pictures[0].number : 0;
  }

  get last() {
    return this.length ? this.#pictures[this.length - 1].number : 0;
  }

  /** One that comes again, after the line was down, is not taken twice; the oldest make room. */
  add(number, jpeg) {
    if (this.length && number <= this.last) return;
    this.#pictures.push({ number, jpeg });
    this.#bytes += jpeg.length;
    let spare = 0;
    while (this.length - spare > 1 && (this.#bytes > this.mostBytes || this.length - spare > this.mostPictures)) {
      this.#bytes -= this.#pictures[spare].jpeg.length;
      spare += 1;
    }
    if (spare) this.#pictures.splice(0, spare);
  }

  /** The newest picture that is not newer than the number, or the oldest there is. */
  at(number) {
    let low = 0;
    let high = this.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#pictures[middle].number <= number) low = middle;
      else high = middle - 1;
    }
    return this.#pictures[low] ?? null;
  }

  mark(picture, prompt) {
    if (this.marks.some((mark) => mark.picture === picture && mark.prompt === prompt)) return false;
    this.marks.push({ picture, prompt });
    this.marks.sort((one, other) => one.picture - other.picture);
    return true;
  }

  /** All that it was told, in the order of the pictures that are remembered. */
  get story() {
    const begun = Math.max(0, this.marks.findLastIndex(({ picture }) => picture <= this.first));
    return this.marks.slice(begun).map(({ prompt }) => prompt);
  }

  /** The prompt under which a picture was made. */
  promptAt(number) {
    const before = this.marks.filter((mark) => mark.picture <= number);
    return (before.at(-1) ?? this.marks[0])?.prompt ?? "";
  }
}
