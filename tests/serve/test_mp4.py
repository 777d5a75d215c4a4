import av
import numpy as np
import pytest

from tests.io.clips import number_in, numbered_frame
from videogen.io import read, read_metadata, scan
from videogen.serve.media.fragments import length_prefixed, make_fragment, nal_units, shift_earlier
from videogen.serve.media.mp4 import ClipBuffer, Mp4Encoder, mux_mp4, probe_format

FPS, HEIGHT, WIDTH = 8, 48, 96
METADATA = {"prompt": "a ring", "seed": 3}
PLAN = (1, *(4,) * 12)  # pictures of each latent frame


def filmed(plan=PLAN, height=HEIGHT, width=WIDTH, fps=FPS):
    encoder, pieces, count = Mp4Encoder(fps, height, width), [], 0
    for pictures in plan:
        numbers = range(count, count + pictures)
        pieces.append(encoder.encode(np.stack([numbered_frame(number, height, width) for number in numbers])))
        count += pictures
    encoder.close()
    return encoder.format, pieces


@pytest.fixture(scope="module")
def film():
    return filmed()


def seen(data, tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(data)
    looked = scan(path)
    return looked, [number_in(picture) for picture in read(path, range(len(looked.pts)))]


def test_fragments_form_a_valid_file(film, tmp_path):
    form, pieces = film
    looked, numbers = seen(form.header + b"".join(piece.data for piece in pieces), tmp_path)
    assert numbers == list(range(sum(PLAN)))
    assert looked.fps == pytest.approx(FPS)
    assert (looked.height, looked.width) == (HEIGHT, WIDTH)


def test_fragments_describe_themselves(film, tmp_path):
    form, pieces = film
    looked, _ = seen(form.header + b"".join(piece.data for piece in pieces), tmp_path)
    assert [piece.count for piece in pieces] == list(PLAN)
    assert [piece.first for piece in pieces] == list(np.cumsum([0, *PLAN[:-1]]))
    assert looked.keyframes == tuple(piece.first for piece in pieces if piece.key)
    assert all(later - before <= 2 * FPS for before, later in zip(looked.keyframes, looked.keyframes[1:], strict=False))


def test_no_reference_across_a_key_frame(film, tmp_path):
    """A viewer that starts at a key frame decodes the same bytes as one that started at the beginning."""
    form, pieces = film
    whole, _ = seen(mux_mp4(form, pieces, METADATA), tmp_path)
    for number, piece in enumerate(pieces):
        if piece.key:
            part, numbers = seen(mux_mp4(form, pieces[number:], METADATA), tmp_path)
            assert numbers == list(range(piece.first, sum(PLAN)))
            assert part.hashes == whole.hashes[piece.first :]
            assert part.seconds[0] == 0


def test_frames_are_not_delayed(tmp_path):
    form, pieces = filmed((1,))
    assert seen(form.header + pieces[0].data, tmp_path)[1] == [0]


def test_download_is_the_same_video_with_faststart(film, tmp_path):
    form, pieces = film
    data = mux_mp4(form, pieces, METADATA)
    assert data == mux_mp4(form, pieces, METADATA)
    (tmp_path / "a.mp4").write_bytes(data)
    assert read_metadata(tmp_path / "a.mp4") == METADATA
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"moof" not in data


@pytest.mark.parametrize("plan", [(1,), (1, 4, 4), (1, *(4,) * 100)])
def test_faststart_equals_ffmpeg(plan, tmp_path):
    form, pieces = filmed(plan)
    (tmp_path / "pieces.mp4").write_bytes(form.header + b"".join(piece.data for piece in pieces))
    options = {"movflags": "faststart", "fflags": "+bitexact"}
    with (
        av.open(str(tmp_path / "pieces.mp4")) as source,
        av.open(str(tmp_path / "a.mp4"), "w", options=options) as film,
    ):
        track = film.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = track
                film.mux(packet)
    assert mux_mp4(form, pieces, {}) == (tmp_path / "a.mp4").read_bytes()


def test_one_format_for_one_frame_size(film):
    form, _ = film
    assert probe_format(FPS, HEIGHT, WIDTH) == form
    assert form.mime.startswith('video/mp4; codecs="avc1.42')


@pytest.mark.parametrize(("fps", "height", "width"), [(8, 17, 23), (29.97, 48, 96), (12.5, 48, 96), (24, 16, 16)])
def test_odd_sizes_and_rates(fps, height, width, tmp_path):
    form, pieces = filmed((1, 4, 4), 48, 96, fps) if height == 48 else plain((1, 4, 4), fps, height, width)
    path = tmp_path / "film.mp4"
    path.write_bytes(mux_mp4(form, pieces, METADATA))
    looked = scan(path)
    assert len(looked.pts) == 9
    assert looked.fps == pytest.approx(fps, rel=1e-3)
    assert (looked.height, looked.width) == (height + height % 2, width + width % 2)


def plain(plan, fps, height, width):
    encoder = Mp4Encoder(fps, height, width)
    pieces = [encoder.encode(np.full((count, height, width, 3), 100, np.uint8)) for count in plan]
    encoder.close()
    encoder.close()  # twice is once
    return encoder.format, pieces


def test_clip_buffer_is_bounded_and_starts_with_a_key_frame(film):
    _, pieces = film
    recent = ClipBuffer(20, 2**30)
    for piece in pieces:
        recent.add(piece)
        assert recent.fragments[0].key
        assert recent.fragments[-1] is piece
        assert recent.size == sum(len(each.data) for each in recent.fragments)
        assert recent.count <= 20 + 2 * FPS
    assert recent.fragments[0].first > 0
    small = ClipBuffer(10**6, 9000)
    for piece in pieces:
        small.add(piece)
    assert small.size <= 9000 + max(len(piece.data) for piece in pieces) * 4
    small.clear()
    assert (small.size, small.count, small.from_key_frame()) == (0, 0, [])


def test_late_viewers_start_at_the_latest_suitable_key_frame(film):
    _, pieces = film
    recent = ClipBuffer(10**6, 2**30)
    for piece in pieces:
        recent.add(piece)
    total, keys = sum(PLAN), [piece.first for piece in pieces if piece.key]
    for wanted in range(1, total + 5):
        begin = recent.from_key_frame(wanted)[0]
        assert begin.key
        assert begin.first == max((key for key in keys if key <= total - wanted), default=0)
    assert recent.from_key_frame() == pieces


def test_shifted_fragment_equals_earlier_fragment():
    pictures = [b"one", b"two"]
    assert shift_earlier(make_fragment(12, True, pictures, 5), 60)[24:] == make_fragment(0, True, pictures, 5)[24:]


def test_start_codes_become_lengths():
    coded = b"\0\0\0\1\x67abc\0\0\1\x68d\0\0\0\1\x65\x01\x02\0\0\3\1"
    assert nal_units(coded) == [b"\x67abc", b"\x68d", b"\x65\x01\x02\0\0\3\1"]
    assert length_prefixed(coded) == b"\0\0\0\4\x67abc\0\0\0\2\x68d\0\0\0\7\x65\x01\x02\0\0\3\1"
