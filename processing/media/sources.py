"""The one door to a source file: every reader opens it here, by path, under both whitelists and the limits of size.

Invariant: content decides, never the name; nothing but the file itself is opened; each refusal is a typed SourceError.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from processing.media.boxes import inspect_boxes, looks_like_boxes
from processing.media.errors import (
    Damaged,
    EmptySource,
    ForeignReference,
    NoVideoStream,
    ResourceExceeded,
    SourceError,
    Truncated,
    UnsupportedCodec,
    UnsupportedContainer,
)

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mxf,ogg,asf,flv,ivf,dv"
"""FFmpeg's demuxers for containers of recorded video. None of them follows a name to another file."""
MAX_PIXELS = 8192 * 4320
MAX_SIDE_PX = 16_384
MAX_STREAMS = 64
ENCRYPTION_TAG = "enc_key_id"
"""What FFmpeg makes of a Matroska track whose frames are encrypted; it then hands them on as they are."""
HEAD_BYTES = 64
AUDIO_HEADS = (b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"\xff\xf9")
CONTAINER_HEADS = (
    b"\x1a\x45\xdf\xa3",
    b"OggS",
    b"FLV\x01",
    b"\x00\x00\x01\xba",
    b"\x30\x26\xb2\x75",
    b"\x06\x0e\x2b\x34",
)


PACKETS_ONLY = {"skip_frame": "all"}
"""Options of opening where packets alone are read: else the first picture is decoded, 20 to 40 ms at 1080p. Only for
files of our own making: with others, what a decoder finds out may matter to the stamps of packets."""


@contextmanager
def open_source(path: Path, *, packets_only: bool = False) -> Iterator[InputContainer]:
    """Open the file at `path` for reading; copy every fact before the block ends, streams are garbage after it.

    `packets_only` is for files of our own making of which packets are read and nothing else; see PACKETS_ONLY.

    Raises a SourceError that names what is wrong with the file, or OSError when there is no such file to read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise EmptySource("the file is empty")
    if looks_like_boxes(head):
        _refuse_by_boxes(path)
    try:
        # The prefix keeps a name like "concat:a|b" or "-y.mp4" from being read as anything but a file's path.
        container = av.open(
            f"file:{path.absolute()}",
            options={"max_pixels": str(MAX_PIXELS)} | (PACKETS_ONLY if packets_only else {}),
            container_options={"protocol_whitelist": "file", "format_whitelist": FORMATS},
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, MemoryError) as error:
        raise _refusal(path, head, error) from error
    with container:
        if len(container.streams) > MAX_STREAMS:
            raise ResourceExceeded(
                f"the file has {len(container.streams)} streams, {MAX_STREAMS} are allowed", code="resource_streams"
            )
        yield container


def picture_stream(container: InputContainer) -> VideoStream:
    """Return the stream that is enhanced: no cover art; default ones before others, then the largest, then the first.

    Raises NoVideoStream, UnsupportedCodec or ResourceExceeded (resource_pixels).
    """
    pictures = [stream for stream in container.streams.video if not is_cover_art(stream)]
    readable = [stream for stream in pictures if stream.codec_context is not None]
    if not readable:
        if pictures or any(stream.type == "video" for stream in container.streams if not is_cover_art(stream)):
            raise UnsupportedCodec("no decoder for the codec of the video stream")
        raise NoVideoStream("the file holds no moving picture")
    chosen = max(readable, key=lambda stream: (_is_default(stream), _pixels(stream), -stream.index))
    if ENCRYPTION_TAG in chosen.metadata:
        raise UnsupportedCodec("the video stream is encrypted")
    _limit_size(chosen)
    return chosen


def stream_at(container: InputContainer, index: int) -> VideoStream:
    """Return the video stream a probe has chosen, by its index; the same limits hold as for `picture_stream`."""
    for stream in container.streams.video:
        if stream.index == index and stream.codec_context is not None:
            _limit_size(stream)
            return stream
    raise NoVideoStream(f"stream {index} is no moving picture")


def packets_of(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Yield the packets of one stream that carry data, to the end of what can be read.

    A container that breaks off in the middle ends here: what is missing shows in the counts. Empty packets mean "repeat
    the last picture" in some containers, but to a decoder they mean "the end".
    """
    return _readable(container.demux(stream))


def all_packets(container: InputContainer) -> Iterator[Packet]:
    """Yield the packets of all streams that carry data, to the end of what can be read."""
    return _readable(container.demux())


def _readable(packets: Iterator[Packet[Any]]) -> Iterator[Packet[Any]]:
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except MemoryError as error:
            raise ResourceExceeded("reading the file takes more memory than one video may have") from error
        except av.error.FFmpegError:
            # Demuxers name the same broken end invalid data, an input error or an invalid argument.
            return
        if packet.size:
            yield packet


def read_only(container: InputContainer, streams: Sequence[av.stream.Stream]) -> None:
    """Have the container skip all packets but those of `streams`."""
    wanted = {stream.index for stream in streams}
    for stream in container.streams:
        stream.discard = av.stream.Discard.default if stream.index in wanted else av.stream.Discard.all


def prepare_decoder(stream: VideoStream, *, threads: int = 1, tells_quantiser: bool = False) -> VideoCodecContext:
    """Limit the decoder of a stream before its first packet and return it.

    Never frame threads: with them a truncated file ends without an error. With `tells_quantiser`, frames carry what
    `quantiser_step` reads, from decoders that can.
    """
    context = stream.codec_context
    told = {"export_side_data": "venc_params"} if tells_quantiser else {}
    context.options = {**context.options, "max_pixels": str(MAX_PIXELS), **told}
    context.thread_count = threads
    context.thread_type = "SLICE"
    return context


def is_cover_art(stream: av.stream.Stream) -> bool:
    """Return whether a stream is a still picture that goes with the file."""
    disposition = stream.disposition
    return bool(disposition & (av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails))


def _is_default(stream: VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.default)


def _pixels(stream: VideoStream) -> int:
    return stream.codec_context.width * stream.codec_context.height


def _limit_size(stream: VideoStream) -> None:
    context = stream.codec_context
    if _pixels(stream) > MAX_PIXELS or max(context.width, context.height) > MAX_SIDE_PX:
        raise ResourceExceeded(
            f"pictures of {context.width}x{context.height}, at most {MAX_PIXELS} pixels are allowed",
            code="resource_pixels",
        )


def _refuse_by_boxes(path: Path) -> None:
    boxes = inspect_boxes(path)
    if boxes.foreign_references:
        raise ForeignReference("a track's data is said to lie in another file")
    if not boxes.has_index:
        raise Truncated("the file ends before its index (moov)")
    if boxes.encrypted_pictures:
        raise UnsupportedCodec("the video stream is encrypted")


def _refusal(path: Path, head: bytes, error: BaseException) -> SourceError:
    """Return why FFmpeg would not open the file, told from its first bytes: FFmpeg has one error for many causes."""
    if isinstance(error, MemoryError):
        return ResourceExceeded("opening the file takes more memory than one video may have")
    if head.startswith(AUDIO_HEADS) or (head.startswith(b"RIFF") and head[8:12] == b"WAVE"):
        return NoVideoStream("the file holds sound only")
    if looks_like_boxes(head):
        if inspect_boxes(path).is_cut:
            return Truncated("the file ends within its boxes")
        return Damaged("the file's index cannot be read")
    if head.startswith(CONTAINER_HEADS) or (head.startswith(b"RIFF") and head[8:12] == b"AVI "):
        return Damaged("the file's header cannot be read")
    return UnsupportedContainer("the content is no video container on the list, whatever the name says")
