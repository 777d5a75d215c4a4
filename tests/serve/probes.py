"""Hostile and damaged uploads, each with the kind that it is sent as."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.io.clips import BY_NAME, damaged, make, sound_only

SECRET = "/etc/hostname"
TEXTS = {
    "hls": f"#EXTM3U\n#EXTINF:1,\nfile://{SECRET}\n#EXT-X-ENDLIST\n",
    "hls-http": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    "hls-key": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{SECRET}"\n#EXTINF:1,\nconcat:{SECRET}|{SECRET}\n',
    "concat": f"ffconcat version 1.0\nfile {SECRET}\n",
    "concat-loop": "ffconcat version 1.0\nfile /dev/fd/3\nfile /dev/fd/4\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "dash": f'<?xml version="1.0"?><MPD type="static"><Period><BaseURL>file://{SECRET}</BaseURL></Period></MPD>',
    "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{SECRET}"/></svg>',
    "xml-entities": '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;">]><MPD>&c;</MPD>',
    "html": "<html><script>alert(1)</script></html>",
    "shell": "#!/bin/sh\nid\n",
    "postscript": f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n({SECRET}) (r) file\nshowpage\n",
    "mvg": f"push graphic-context\nfill 'url(https://127.0.0.1:9/|ls \"{SECRET})'\npop graphic-context\n",
    "subtitles": "1\n00:00:00,000 --> 00:00:01,000\nwords\n",
    "url": f"file://{SECRET}",
    "blanks": " " * 5000,
}


def probes(folder: Path, seed: int = 0) -> "Iterator[tuple[str, str, bytes]]":
    """About 60 of (name, kind, bytes); none is a usable clip or image."""
    draw = np.random.default_rng(seed)
    for name, text in TEXTS.items():
        yield name, "video", text.encode()
        yield f"{name}-as-image", "image", text.encode()
    yield "noise", "video", draw.bytes(5000)
    yield "noise-as-image", "image", draw.bytes(5000)
    yield "zeros", "video", bytes(100_000)
    yield "elf", "video", b"\x7fELF" + draw.bytes(3000)
    yield "pickle", "image", b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93."
    yield "sound", "video", sound_only(folder).read_bytes()
    clips = {name: make(BY_NAME[name], folder).read_bytes() for name in ("h264", "h264-mkv", "vp9", "gif", "mjpeg-avi")}
    for name, clip in clips.items():
        for share in (0.1, 0.5, 0.9):
            yield f"{name}-cut-at-{share}", "video", clip[: int(len(clip) * share)]
    yield "h264-with-a-playlist-in-front", "video", TEXTS["hls"].encode() + clips["h264"]
    yield "gif-huge", "video", claimed_size(clips["gif"])
    yield "image-of-a-clip", "image", clips["h264"]
    picture = picture_of("PNG")
    yield "png-as-video", "video", picture
    yield "png-cut", "image", picture[: len(picture) // 2]
    yield "png-damaged", "image", damaged_png(picture)
    yield "png-bomb", "image", png_bomb(30_000, 30_000)
    yield "png-bomb-of-words", "image", words_in_png(picture)
    yield "jpeg-cut", "image", picture_of("JPEG")[:300]
    yield "webp-cut", "image", picture_of("WEBP")[:100]
    yield "tiff", "image", picture_of("TIFF")


def damage(folder: Path, count: int, seed: int = 1) -> Iterator[bytes]:
    draw, clip = np.random.default_rng(seed), make(BY_NAME["h264"], folder).read_bytes()
    for _ in range(count):
        yield damaged(clip, draw)


def picture_of(form: str, size: tuple[int, int] = (64, 48)) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, form)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int, height: int) -> bytes:
    """Claims nearly a gigapixel; holds the first megabyte."""
    pack = zlib.compress(bytes(2**20))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pack) + chunk(b"IEND", b"")


def words_in_png(picture: bytes) -> bytes:
    """An image with a comment that decompresses to a hundred megabytes."""
    packer = zlib.compressobj(9)
    pack = b"".join(packer.compress(bytes(2**20)) for _ in range(100)) + packer.flush()
    return picture[:33] + chunk(b"zTXt", b"x\0\0" + pack) + picture[33:]


def damaged_png(picture: bytes) -> bytes:
    middle = len(picture) // 2
    return picture[:middle] + bytes(64) + picture[middle + 64 :]


def claimed_size(clip: bytes) -> bytes:
    """A GIF header of 60,000 x 60,000 pixels."""
    return clip[:6] + struct.pack("<HH", 60_000, 60_000) + clip[10:]
