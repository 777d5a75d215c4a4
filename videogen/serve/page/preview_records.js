// The preview of a stream: records of a kind (1 byte), a frame number (4), a length (4), and that many bytes.

const HEADER = 9;
const MAX_LENGTH = 16 * 2 ** 20; // a longer record is not a preview record
export const KINDS = ["frame", "mask", "mark", "end", "stats", "queue"];
const text = new TextDecoder();

/** The records {kind, number, ...} of a stream of byte chunks, wherever the chunks are split. */
export async function* records(chunks) {
  let pending = new Uint8Array(0);
  for await (const chunk of chunks) {
    pending = concat(pending, chunk);
    let from = 0;
    for (let next = lengthAt(pending, from); next !== null && from + next <= pending.length; next = lengthAt(pending, from)) {
      const record = parse(pending.subarray(from, from + next));
      from += next;
      if (record) yield record;
    }
    pending = pending.slice(from);
  }
}

/** The chunks of a response body: all browsers can iterate a reader, not all can iterate a body. */
export async function* chunksOf(body) {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {}); // ends the request when the consumer stops
  }
}

function concat(first, second) {
  if (!first.length) return second;
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function lengthAt(bytes, from) {
  if (bytes.length - from < HEADER) return null;
  const length = new DataView(bytes.buffer, bytes.byteOffset + from).getUint32(5);
  if (length > MAX_LENGTH) throw new Error("the server sent something that is not a preview");
  return HEADER + length;
}

function parse(bytes) {
  const kind = KINDS[bytes[0]];
  const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  const payload = bytes.slice(HEADER);
  if (kind === "frame") return { kind, number, jpeg: payload };
  if (kind === "mask") return { kind, number, height: payload[0], width: payload[1], decided: payload.subarray(2) };
  return kind && { kind, number, data: JSON.parse(text.decode(payload)) }; // unknown kinds of later versions are skipped
}
