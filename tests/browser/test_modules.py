"""Modules of the page that only compute, tested in a browser."""

import random
import struct

from tests.browser.conftest import Studio

READ = """async ([bytes, cuts]) => {
  const { records } = await import("/page/preview_records.js");
  async function* chunks() {
    for (let at = 1; at < cuts.length; at += 1) yield new Uint8Array(bytes.slice(cuts[at - 1], cuts[at]));
  }
  const read = [];
  for await (const record of records(chunks())) read.push([record.kind, record.number, [...(record.jpeg ?? [])]]);
  return read;
}"""


def test_records_do_not_depend_on_chunks(studio: Studio) -> None:
    chance = random.Random(5)
    told = [(number, chance.randbytes(chance.choice((0, 1, 8, 9, 300)))) for number in range(40)]
    data = b"".join(struct.pack(">BII", 0, number, len(jpeg)) + jpeg for number, jpeg in told)
    wanted = [["frame", number, list(jpeg)] for number, jpeg in told]
    studio.open()
    for count in (0, 1, 30, 900):
        cuts = sorted(chance.randrange(len(data)) for _ in range(count))
        assert studio.page.evaluate(READ, [list(data), [0, *cuts, len(data)]]) == wanted
    every = list(range(len(data) + 1))
    assert studio.page.evaluate(READ, [list(data), every]) == wanted


def test_record_kinds(studio: Studio) -> None:
    studio.open()
    mark = '{"frame": 7, "prompt": "é"}'.encode()
    mask = bytes((2, 3, 1, 0, 1, 0, 0, 1))
    data = (
        struct.pack(">BII", 2, 7, len(mark))
        + mark
        + struct.pack(">BII", 9, 0, 1)
        + b"?"
        + struct.pack(">BII", 1, 8, 8)
        + mask
    )
    read = studio.page.evaluate(
        """async (bytes) => {
          const { records } = await import("/page/preview_records.js");
          const chunks = (async function* () { yield new Uint8Array(bytes); })();
          const read = [];
          for await (const record of records(chunks)) read.push(record);
          return [read.length, read[0].data, read[1].height, read[1].width, [...read[1].decided]];
        }""",
        list(data),
    )
    assert read == [
        2,
        {"frame": 7, "prompt": "é"},
        2,
        3,
        [1, 0, 1, 0, 0, 1],
    ]  # unknown kinds are skipped


def test_too_long_record_is_refused(studio: Studio) -> None:
    studio.open()
    refused = studio.page.evaluate("""async () => {
      const { records } = await import("/page/preview_records.js");
      const chunks = (async function* () { yield new Uint8Array([0, 0, 0, 0, 0, 255, 255, 255, 255]); })();
      return records(chunks).next().then(() => "read", (error) => error.message);
    }""")
    assert refused == "the server sent something that is not a preview"


def test_buffer_evicts_the_oldest(studio: Studio) -> None:
    studio.open()
    found = studio.page.evaluate("""async () => {
      const { FrameBuffer } = await import("/page/frame_buffer.js");
      const buffer = new FrameBuffer(1000, 50);
      const faults = [];
      for (let number = 0; number < 400; number += 1 + (number % 3)) {
        buffer.add(number, new Uint8Array(number % 40));
        buffer.add(number, new Uint8Array(39)); // sent again after a reconnect
        if (buffer.bytes > 1000 || buffer.length > 50 || buffer.last !== number) faults.push(number);
      }
      const numbers = [];
      for (let place = buffer.first; place <= buffer.last; place += 1) numbers.push(buffer.at(place).number <= place);
      const ends = [buffer.at(-5).number === buffer.first, buffer.at(1e9).number === buffer.last];
      return [faults, numbers.every(Boolean), ...ends];
    }""")
    assert found == [[], True, True, True]


def test_marks_are_sorted_and_unique(studio: Studio) -> None:
    studio.open()
    assert studio.page.evaluate("""async () => {
      const { FrameBuffer } = await import("/page/frame_buffer.js");
      const buffer = new FrameBuffer();
      const new_ = [[9, "b"], [0, "a"], [9, "b"], [20, "a"]].map(([frame, prompt]) => buffer.mark(frame, prompt));
      return [new_, [0, 8, 9, 19, 99].map((number) => buffer.promptAt(number)), buffer.prompts];
    }""") == [[True, True, False, True], ["a", "a", "b", "b", "a"], ["a", "b", "a"]]


def test_playhead_keeps_time_waits_and_catches_up(studio: Studio) -> None:
    studio.open()
    shown = studio.page.evaluate("""async () => {
      const { Playhead } = await import("/page/playhead.js");
      const head = new Playhead(8);
      const shown = [head.advance(0, 0, 0)]; // the first frame at once
      for (let tick = 0; tick < 50; tick += 1) head.advance(0.02, 0, 0); // then nothing arrives
      shown.push(head.advance(0.02, 0, 4)); // after waiting, the next frame shows at once
      for (let tick = 0; tick < 10; tick += 1) head.advance(0.05, 0, 8);
      shown.push(Math.round(head.position)); // half a second later
      shown.push(head.advance(0, 0, 100)); // far behind: jump
      head.seek(3, 100);
      shown.push(head.advance(0.125, 0, 200), head.following); // a seek stays in the past
      shown.push(head.advance(0, 50, 200)); // until it is evicted
      head.moving = false;
      shown.push(head.advance(5, 50, 200));
      return shown;
    }""")
    assert shown == [0, 1, 5, 96, 4, False, 50, 50]
