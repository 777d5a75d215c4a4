import av
import numpy as np
import pytest

from tests.io.clips import number_in, numbered_frame
from videogen.io import read, read_metadata, scan
from videogen.serve.media.fragments import length_prefixed, make_fragment, nal_units, shift_earlier
from videogen.serve.media.mp4 import ClipBuffer, FragmentEncoder, mux_mp4, probe_format

FPS, HEIGHT, WIDTH = 8, 48, 96
METADATA = {"prompt": "a ring", "seed": 3}
PLAN = (1, *(4,) * 12)  # frames of each latent frame


def encoded(plan=PLAN, height=HEIGHT, width=WIDTH, fps=FPS):
    encoder, fragments, count = FragmentEncoder(fps, height, width), [], 0
    for frames in plan:
        numbers = range(count, count + frames)
        fragments.append(encoder.encode(np.stack([numbered_frame(number, height, width) for number in numbers])))
        count += frames
    encoder.close()
    return encoder.format, fragments


@pytest.fixture(scope="module")
def clip():
    return encoded()


def seen(data, tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(data)
    looked = scan(path)
    return looked, [number_in(frame) for frame in read(path, range(len(looked.pts)))]


def test_fragments_form_a_valid_file(clip, tmp_path):
    mp4, fragments = clip
    looked, numbers = seen(mp4.header + b"".join(fragment.data for fragment in fragments), tmp_path)
    assert numbers == list(range(sum(PLAN)))
    assert looked.fps == pytest.approx(FPS)
    assert (looked.height, looked.width) == (HEIGHT, WIDTH)


def test_fragments_describe_themselves(clip, tmp_path):
    mp4, fragments = clip
    looked, _ = seen(mp4.header + b"".join(fragment.data for fragment in fragments), tmp_path)
    assert [fragment.count for fragment in fragments] == list(PLAN)
    assert [fragment.first for fragment in fragments] == list(np.cumsum([0, *PLAN[:-1]]))
    assert looked.keyframes == tuple(fragment.first for fragment in fragments if fragment.key)
    assert all(later - before <= 2 * FPS for before, later in zip(looked.keyframes, looked.keyframes[1:], strict=False))


def test_no_reference_across_a_key_frame(clip, tmp_path):
    """A viewer that starts at a key frame decodes the same bytes as one that started at the beginning."""
    mp4, fragments = clip
    whole, _ = seen(mux_mp4(mp4, fragments, METADATA), tmp_path)
    for number, fragment in enumerate(fragments):
        if fragment.key:
            part, numbers = seen(mux_mp4(mp4, fragments[number:], METADATA), tmp_path)
            assert numbers == list(range(fragment.first, sum(PLAN)))
            assert part.hashes == whole.hashes[fragment.first :]
            assert part.seconds[0] == 0


def test_frames_are_not_delayed(tmp_path):
    mp4, fragments = encoded((1,))
    assert seen(mp4.header + fragments[0].data, tmp_path)[1] == [0]


def test_download_is_the_same_video_with_faststart(clip, tmp_path):
    mp4, fragments = clip
    data = mux_mp4(mp4, fragments, METADATA)
    assert data == mux_mp4(mp4, fragments, METADATA)
    (tmp_path / "a.mp4").write_bytes(data)
    assert read_metadata(tmp_path / "a.mp4") == METADATA
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"moof" not in data


@pytest.mark.parametrize("plan", [(1,), (1, 4, 4), (1, *(4,) * 100)])
def test_faststart_equals_ffmpeg(plan, tmp_path):
    mp4, fragments = encoded(plan)
    (tmp_path / "fragments.mp4").write_bytes(mp4.header + b"".join(fragment.data for fragment in fragments))
    options = {"movflags": "faststart", "fflags": "+bitexact"}
    with (
        av.open(str(tmp_path / "fragments.mp4")) as source,
        av.open(str(tmp_path / "a.mp4"), "w", options=options) as film,
    ):
        track = film.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = track
                film.mux(packet)
    assert mux_mp4(mp4, fragments, {}) == (tmp_path / "a.mp4").read_bytes()


def test_one_format_for_one_frame_size(clip):
    mp4, _ = clip
    assert probe_format(FPS, HEIGHT, WIDTH) == mp4
    assert mp4.mime.startswith('video/mp4; codecs="avc1.42')


@pytest.mark.parametrize(("fps", "height", "width"), [(8, 17, 23), (29.97, 48, 96), (12.5, 48, 96), (24, 16, 16)])
def test_odd_sizes_and_rates(fps, height, width, tmp_path):
    mp4, fragments = encoded((1, 4, 4), 48, 96, fps) if height == 48 else plain((1, 4, 4), fps, height, width)
    path = tmp_path / "video.mp4"
    path.write_bytes(mux_mp4(mp4, fragments, METADATA))
    looked = scan(path)
    assert len(looked.pts) == 9
    assert looked.fps == pytest.approx(fps, rel=1e-3)
    assert (looked.height, looked.width) == (height + height % 2, width + width % 2)


def plain(plan, fps, height, width):
    encoder = FragmentEncoder(fps, height, width)
    fragments = [encoder.encode(np.full((count, height, width, 3), 100, np.uint8)) for count in plan]
    encoder.close()
    encoder.close()  # twice is once
    return encoder.format, fragments


def test_clip_buffer_is_bounded_and_starts_with_a_key_frame(clip):
    _, fragments = clip
    recent = ClipBuffer(20, 2**30)
    for fragment in fragments:
        recent.add(fragment)
        assert recent.fragments[0].key
        assert recent.fragments[-1] is fragment
        assert recent.size == sum(len(each.data) for each in recent.fragments)
        assert recent.count <= 20 + 2 * FPS
    assert recent.fragments[0].first > 0
    small = ClipBuffer(10**6, 9000)
    for fragment in fragments:
        small.add(fragment)
    assert small.size <= 9000 + max(len(fragment.data) for fragment in fragments) * 4
    small.clear()
    assert (small.size, small.count, small.from_key_frame()) == (0, 0, [])


def test_late_viewers_start_at_the_latest_suitable_key_frame(clip):
    _, fragments = clip
    recent = ClipBuffer(10**6, 2**30)
    for fragment in fragments:
        recent.add(fragment)
    total, keys = sum(PLAN), [fragment.first for fragment in fragments if fragment.key]
    for wanted in range(1, total + 5):
        begin = recent.from_key_frame(wanted)[0]
        assert begin.key
        assert begin.first == max((key for key in keys if key <= total - wanted), default=0)
    assert recent.from_key_frame() == fragments


def test_shifted_fragment_equals_earlier_fragment():
    frames = [b"one", b"two"]
    assert shift_earlier(make_fragment(12, True, frames, 5), 60)[24:] == make_fragment(0, True, frames, 5)[24:]


def test_start_codes_become_lengths():
    coded = b"\0\0\0\1\x67abc\0\0\1\x68d\0\0\0\1\x65\x01\x02\0\0\3\1"
    assert nal_units(coded) == [b"\x67abc", b"\x68d", b"\x65\x01\x02\0\0\3\1"]
    assert length_prefixed(coded) == b"\0\0\0\4\x67abc\0\0\0\2\x68d\0\0\0\7\x65\x01\x02\0\0\3\1"
