"""The failures of the media engine. Each class has one stable `code`; a failure of the file is never retried.

MediaError
├── SourceError                   the file is at fault: the same bytes fail the same way
│   ├── EmptySource               empty_file
│   ├── UnsupportedContainer      unsupported_container
│   ├── UnsupportedCodec          unsupported_codec
│   ├── NoVideoStream             no_video_stream
│   ├── ForeignReference          foreign_reference
│   ├── Truncated                 truncated
│   ├── Damaged                   damaged
│   └── ResourceExceeded          resource_pixels | resource_streams | resource_packets | resource_memory | resource_cpu
│                                 | resource_output | resource_duration
├── TimelineMismatch              timeline_mismatch: decoder output contradicts the plan; plan again, in index order
├── OutputMismatch                output_mismatch: what was written is not what was promised; run the step again
├── SegmentDamaged                segment_damaged: a finished segment no longer has its digest
├── OutputLost                    output_lost: what an earlier step of the job made is no longer there
├── StorageFull                   storage_full
├── StorageAway                   storage_away
├── Unforeseen                    internal_error: an error of our own that nobody foresaw
└── ProcessError                  the media process, not the file
    ├── ProcessCrashed            process_crashed: it died by a signal or without an answer
    ├── ProcessRefused            process_refused: this machine could start none
    ├── ProcessStalled            process_stalled: no progress within the stall limit
    └── ProcessStopped            process_stopped: its supervisor asked it to stop (cancel, drain)

`from_wire` and `to_wire` carry an error over the border of the media process. What comes from there may have been
written by a hostile file, so only the supervisor says ProcessError, OutputLost, StorageAway and Unforeseen: no media
process can claim that it was asked to stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

_MAX_DETAIL_CHARACTERS = 2000


class MediaError(Exception):
    """Any failure of the media engine, with the facts in its message."""

    code: str = "media_error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class SourceError(MediaError):
    """The source file cannot be processed, now or later."""

    code = "source_error"


class EmptySource(SourceError):
    """The file has no bytes."""

    code = "empty_file"


class UnsupportedContainer(SourceError):
    """The content is no container on the list, whatever the name says."""

    code = "unsupported_container"


class UnsupportedCodec(SourceError):
    """The video stream is encrypted, its codec has no decoder here, or its HDR is in colours that cannot be mapped."""

    code = "unsupported_codec"


class NoVideoStream(SourceError):
    """The file holds no moving picture (audio, subtitles or cover art only)."""

    code = "no_video_stream"


class ForeignReference(SourceError):
    """The file refers to other files or addresses; none of them was opened."""

    code = "foreign_reference"


class Truncated(SourceError):
    """The file ends before its index or its first frame."""

    code = "truncated"


class Damaged(SourceError):
    """No frame, or too few, could be decoded."""

    code = "damaged"


class ResourceExceeded(SourceError):
    """The file asks for more memory, pixels, packets or time than one video may have."""

    code = "resource_memory"

    def __init__(self, detail: str, *, code: str = "resource_memory") -> None:
        super().__init__(detail)
        self.code = code


class TimelineMismatch(MediaError):
    """Decoder output contradicts the timeline read from the packets."""

    code = "timeline_mismatch"
    retryable = True


class OutputMismatch(MediaError):
    """Counts or times of what was written differ from what was promised."""

    code = "output_mismatch"
    retryable = True


class SegmentDamaged(MediaError):
    """A finished segment is missing or no longer has the digest of its row."""

    code = "segment_damaged"
    retryable = True

    def __init__(self, detail: str, *, index: int = -1) -> None:
        super().__init__(detail)
        self.index = index


class OutputLost(MediaError):
    """What an earlier step of the job made is no longer in the storage, though the source is."""

    code = "output_lost"
    retryable = True


class StorageFull(MediaError):
    """No space is left where the output is written."""

    code = "storage_full"
    retryable = True


class StorageAway(MediaError):
    """The storage does not answer, refuses to serve us, or lacks a file that it must have."""

    code = "storage_away"
    retryable = True


class Unforeseen(MediaError):
    """An error of our own code, or a row that it cannot read; the file may or may not be the cause."""

    code = "internal_error"
    retryable = True


class ProcessError(MediaError):
    """The media process ended without an answer; the file may or may not be the cause."""

    code = "process_error"
    retryable = True


class ProcessCrashed(ProcessError):
    """The media process died by a signal or without an answer."""

    code = "process_crashed"


class ProcessRefused(ProcessError):
    """This machine could start no media process: out of processes, memory or descriptors. Nothing was read yet."""

    code = "process_refused"


class ProcessStalled(ProcessError):
    """The media process made no progress within the stall limit, or outran its deadline."""

    code = "process_stalled"


class ProcessStopped(ProcessError):
    """The supervisor asked the media process to stop: cancel, drain or a lost lease."""

    code = "process_stopped"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A MediaError on its way out of the media process."""

    kind: str
    code: str
    detail: str
    index: int = -1
    """Of the segment that is damaged."""
    trace: str = ""
    """Traceback of an exception that nobody foresaw, for the log alone."""


def to_wire(error: MediaError, *, trace: str = "") -> Failure:
    """Return an error in the form that crosses the border; text is cut to length and made valid Unicode."""
    return Failure(
        kind=type(error).__name__,
        code=error.code,
        detail=_clean(error.detail)[:_MAX_DETAIL_CHARACTERS],
        index=getattr(error, "index", -1),
        trace=_clean(trace),
    )


def from_wire(failure: Failure) -> MediaError:
    """Return the error that a media process reported; ProcessCrashed for one it cannot know of."""
    detail = _clean(failure.detail)[:_MAX_DETAIL_CHARACTERS]
    if failure.kind == ResourceExceeded.__name__ and failure.code in RESOURCE_CODES:
        return ResourceExceeded(detail, code=failure.code)
    if failure.kind == SegmentDamaged.__name__:
        return SegmentDamaged(detail, index=failure.index)
    kind = _REPORTABLE.get(failure.kind)
    return ProcessCrashed(detail) if kind is None else kind(detail)


RESOURCE_CODES = frozenset(
    (
        "resource_pixels",
        "resource_streams",
        "resource_packets",
        "resource_memory",
        "resource_cpu",
        "resource_output",
        "resource_duration",
    )
)
_REPORTABLE: dict[str, type[MediaError]] = {
    kind.__name__: kind
    for kind in (
        EmptySource, UnsupportedContainer, UnsupportedCodec, NoVideoStream, ForeignReference, Truncated, Damaged,
        TimelineMismatch, OutputMismatch, StorageFull,
    )
}  # fmt: skip


def _clean(text: str) -> str:
    """Return text without lone surrogates (they have no UTF-8 form) and control characters but line ends and tabs."""
    valid = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(character for character in valid if character.isprintable() or character in "\n\t")
