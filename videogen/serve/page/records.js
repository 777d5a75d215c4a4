// The preview of a stream: records of a kind, a picture number, a length, and so many bytes.

const HEADER = 9;
const LONGEST = 16 * 2 ** 20; // what announces more is no preview
export const KINDS = ["picture", "mask", "mark", "end", "figures", "turn"];
const text = new TextDecoder();

/** The records {kind, number, payload} of a stream of byte chunks, however they are cut. */
export async function* records(chunks) {
  let held = new Uint8Array(0);
  for await (const chunk of chunks) {
    held = joined(held, chunk);
    let from = 0;
    for (let next = lengthAt(held, from); next !== null && from + next <= held.length; next = lengthAt(held, from)) {
      const record = read(held.subarray(from, from + next));
      from += next;
      if (record) yield record;
    }
    held = held.slice(from);
  }
}

/** The chunks of a response's body: Firefox and Chromium both iterate readers, not every version iterates bodies. */
export async function* chunksOf(body) {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {}); // whoever stops reading leaves the stream
  }
}

function joined(first, second) {
  if (!first.length) return second;
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function lengthAt(bytes, from) {
  if (bytes.length - from < HEADER) return null;
  const length = new DataView(bytes.buffer, bytes.byteOffset + from).getUint32(5);
  if (length > LONGEST) throw new Error("what the server sends is no preview");
  return HEADER + length;
}

function read(bytes) {
  const kind = KINDS[bytes[0]];
  const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  const payload = bytes.slice(HEADER);
  if (kind === "picture") return { kind, number, jpeg: payload };
  if (kind === "mask") return { kind, number, height: payload[0], width: payload[1], decided: payload.subarray(2) };
  return kind && { kind, number, data: JSON.parse(text.decode(payload)) }; // a kind of a later version is passed over
}
