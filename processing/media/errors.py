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
├── TimelineMismatch              timeline_mismatch: decoder output contradicts the plan; plan again, in index order
├── OutputMismatch                output_mismatch: what was written is not what was promised; run the step again
├── SegmentDamaged                segment_damaged: a finished segment no longer has its digest
├── StorageFull                   storage_full
└── ProcessError                  the media process, not the file
    ├── ProcessCrashed            process_crashed: it died by a signal or without an answer
    ├── ProcessStalled            process_stalled: no progress within the stall limit
    └── ProcessStopped            process_stopped: its supervisor asked it to stop (cancel, drain)

`from_wire` and `to_wire` carry an error over the border of the media process.
"""

from __future__ import annotations

from typing import ClassVar


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
    """The video stream is encrypted or its codec has no decoder here."""

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


class StorageFull(MediaError):
    """No space is left where the output is written."""

    code = "storage_full"
    retryable = True


class ProcessError(MediaError):
    """The media process ended without an answer; the file may or may not be the cause."""

    code = "process_error"
    retryable = True


class ProcessCrashed(ProcessError):
    """The media process died by a signal or without an answer."""

    code = "process_crashed"


class ProcessStalled(ProcessError):
    """The media process made no progress within the stall limit, or outran its deadline."""

    code = "process_stalled"


class ProcessStopped(ProcessError):
    """The supervisor asked the media process to stop: cancel, drain or a lost lease."""

    code = "process_stopped"
