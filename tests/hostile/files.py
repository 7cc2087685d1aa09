"""Makes files that mean harm, byte by byte: Matroska (RFC 8794 and RFC 9559) by hand, MP4 by changing a clip's boxes.

Nothing here is stored: each file is a function of its arguments, so a hole found once can be told in one line.
"""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import av

EBML, SEGMENT, INFO, TRACKS, TRACK, VIDEO = (
    b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b", b"\xae", b"\xe0",
)  # fmt: skip
CLUSTER, CHAPTERS, TAGS = b"\x1f\x43\xb6\x75", b"\x10\x43\xa7\x70", b"\x12\x54\xc3\x67"


def element(name: bytes, *content: bytes) -> bytes:
    """Return an EBML element with a size of eight bytes."""
    size = sum(map(len, content))
    return b"".join((name, (size | 1 << 56).to_bytes(8, "big"), *content))


def number(name: bytes, value: int) -> bytes:
    """Return an EBML element that holds an unsigned number."""
    return element(name, value.to_bytes(8, "big"))


@cache
def picture(width: int = 64, height: int = 48) -> bytes:
    """Return a grey JPEG."""
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt, context.time_base = width, height, "yuvj420p", 1  # type: ignore[attr-defined]
    frame = av.VideoFrame(width, height, "yuvj420p")
    for plane in frame.planes:
        plane.update(b"\x80" * plane.buffer_size)
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def matroska(
    pictures: Sequence[bytes] | None = None,
    *,
    stamps: Sequence[int] | None = None,
    width: int = 64,
    height: int = 48,
    seconds: float | None = None,
    tick_ns: int = 1_000_000,
    frame_ns: int | None = None,
    codec: bytes = b"V_MJPEG",
    tracks: int = 1,
    track_parts: bytes = b"",
    parts: Iterable[bytes] = (),
) -> bytes:
    """Return a file of Motion JPEG; `stamps` are in ticks of `tick_ns`, `seconds` and `frame_ns` are what it claims."""
    pictures = [picture(width, height)] * 3 if pictures is None else pictures
    stamps = [40 * index for index in range(len(pictures))] if stamps is None else stamps
    duration = element(b"\x44\x89", struct.pack(">d", seconds * 1e9 / tick_ns)) if seconds is not None else b""
    size = element(VIDEO, number(b"\xb0", width), number(b"\xba", height))
    rate = number(b"\x23\xe3\x83", frame_ns) if frame_ns is not None else b""
    entries = [
        element(
            TRACK, number(b"\xd7", index), number(b"\x73\xc5", index), number(b"\x83", 1), element(b"\x86", codec),
            rate, size, track_parts,
        )
        for index in range(1, tracks + 1)
    ]  # fmt: skip
    clusters = [
        element(CLUSTER, number(b"\xe7", stamp), element(b"\xa3", b"\x81\0\0\x80", data))
        for stamp, data in zip(stamps, pictures, strict=True)
    ]
    return b"".join(
        (
            element(EBML, element(b"\x42\x82", b"matroska"), number(b"\x42\x87", 4), number(b"\x42\x85", 2)),
            element(
                SEGMENT, element(INFO, number(b"\x2a\xd7\xb1", tick_ns), duration), element(TRACKS, *entries),
                *parts, *clusters,
            ),
        )
    )  # fmt: skip


def chapters(count: int) -> bytes:
    """Return an edition of chapters of a millisecond each."""

    def atom(start: int) -> bytes:
        return element(
            b"\xb6",
            number(b"\x73\xc4", start + 1),
            number(b"\x91", start * 10**6),
            number(b"\x92", (start + 1) * 10**6),
        )

    return element(CHAPTERS, element(b"\x45\xb9", *map(atom, range(count))))


def tags(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return tags of the whole file; names and values may be anything."""
    simple = (element(b"\x67\xc8", element(b"\x45\xa3", name), element(b"\x44\x87", value)) for name, value in pairs)
    return element(TAGS, element(b"\x73\x73", element(b"\x63\xc0"), *simple))


def encrypted_track() -> bytes:
    """Return the part of a track that says its frames are encrypted."""
    encryption = element(b"\x50\x35", number(b"\x47\xe1", 5), element(b"\x47\xe2", b"key"))
    encoding = element(b"\x62\x40", number(b"\x50\x31", 0), number(b"\x50\x32", 1), number(b"\x50\x33", 1), encryption)
    return element(b"\x6d\x80", encoding)


def squeezed_track() -> bytes:
    """Return the part of a track that says its frames are deflated: the container is a decompression bomb then."""
    compression = element(b"\x50\x34", number(b"\x42\x54", 0))
    encoding = element(b"\x62\x40", number(b"\x50\x31", 0), number(b"\x50\x32", 1), number(b"\x50\x33", 0), compression)
    return element(b"\x6d\x80", encoding)


def blown_up(jpeg: bytes, width: int, height: int) -> bytes:
    """Return a JPEG whose frame header claims another size."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def box(kind: bytes, *content: bytes) -> bytes:
    """Return a box of an MP4."""
    return struct.pack(">I4s", 8 + sum(map(len, content)), kind) + b"".join(content)


def with_sample_sizes(mp4: bytes, width: int, height: int) -> bytes:
    """Return an H.264 MP4 whose sample entry and track header claim another size."""
    entry = mp4.index(b"avc1", mp4.index(b"stsd")) + 4 + 24
    return mp4[:entry] + struct.pack(">HH", width, height) + mp4[entry + 4 :]


def with_time_scale(mp4: bytes, ticks: int) -> bytes:
    """Return an MP4 whose media header claims so many ticks a second."""
    at = mp4.index(b"mdhd") + 4 + 12
    return mp4[:at] + struct.pack(">I", ticks) + mp4[at + 4 :]


def flipped(data: bytes, *, share: float, seed: int, start: int = 0) -> bytes:
    """Return the bytes from `start` on with one bit flipped in a share of them, the same each time."""
    generator = random.Random(seed)
    changed = bytearray(data)
    for position in generator.sample(range(start, len(data)), int(share * (len(data) - start))):
        changed[position] ^= 1 << generator.randrange(8)
    return bytes(changed)


def with_packets_damaged(source: Path, target: Path, *, share: float, seed: int) -> Path:
    """Write an MP4 with bits flipped in a share of the packets of its picture, and return it."""
    generator = random.Random(seed)
    with av.open(source) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(source.read_bytes())
    for position, size in generator.sample(places, max(1, round(share * len(places)))):
        for _ in range(4):
            data[position + generator.randrange(min(8, size - 1), size)] ^= 1 << generator.randrange(8)
    target.write_bytes(data)
    return target


def also_html(mp4: bytes) -> bytes:
    """Return a fragmented MP4, whose offsets are relative, that a browser which sniffs would take for a page."""
    return box(b"free", b"<!DOCTYPE html><html><script>alert(1)</script></html>") + mp4


def also_zip(mp4: bytes) -> bytes:
    """Return an MP4 that is a ZIP archive as well."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("../../evil.sh", "echo evil")
    return mp4 + box(b"free", archive.getvalue())


def texts(address: str, sibling: str) -> dict[str, bytes]:
    """Return texts that would make a careless reader fetch an address or open a sibling, by what they are."""
    found = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n",
        "hls key": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{address}"\n#EXTINF:1,\n{address}\n',
        "local hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{sibling}\n#EXT-X-ENDLIST\n",
        "hls of itself": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nx.mp4\n#EXTINF:1,\nx.mp4\n",
        "concat": f"ffconcat version 1.0\nfile '{sibling}'\n",
        "concat protocol": f"concat:{sibling}|{sibling}",
        "dash": f'<?xml version="1.0"?><MPD><Period><BaseURL>{address}</BaseURL></Period></MPD>',
        "smooth": f'<SmoothStreamingMedia Url="{address}"></SmoothStreamingMedia>',
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "rtsp": f"[Reference]\nRef1={address}\n",
        "asx": f'<ASX version="3.0"><ENTRY><REF HREF="{address}"/></ENTRY></ASX>',
        "pls": f"[playlist]\nFile1={address}\nNumberOfEntries=1\n",
        "lavfi": f"movie={sibling}",
        "vobsub": "# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\n",
        "ass": "[Script Info]\nScriptType: v4.00+\n[Events]\n",
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{address}"/></svg>',
        "subtitles": "1\n00:00:00,000 --> 00:00:01,000\nhello\n",
        "pdf": "%PDF-1.7\n",
        "script": "#!/bin/sh\ntouch evil\n",
    }
    binary = {
        "zip": b"PK\x03\x04" + bytes(200),
        "elf": b"\x7fELF\x02\x01\x01" + bytes(200),
        "jpeg": picture(),
        "one byte": b"\0",
    }
    return {name: text.encode() for name, text in found.items()} | binary
