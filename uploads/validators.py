"""Why a file is refused: by what the request declares of it, by its form, by what a probe of its content finds.

Problem
├── TooLarge                  413  too_large
├── NotMultipart              415  unsupported_media_type
├── MalformedForm             400  malformed_multipart
├── TwoFiles                  400  two_files
├── NoFile                    400  no_file
├── TooSlow                   408  too_slow
└── Busy                      503  busy
and, under the media engine's own codes, EmptySource (422), StorageFull (507) and what the probe raises.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from http import HTTPStatus

from django.conf import settings
from python_multipart.multipart import parse_options_header

from processing import storage
from processing.api.errors import MediaProblem, Problem
from processing.media.errors import MediaError, StorageFull
from processing.media.process import launcher
from processing.media.process.limits import limits_for
from processing.media.requests import ProbeRequest
from processing.media.specs import MediaProbe
from processing.storage import room

ENVELOPE_BYTES = 64 * 1024
"""What a form may have beside its file."""
NAME_CHARACTERS = 255
PROBES_AT_ONCE = 8
PROBE_WAIT_SECONDS = 30.0


class TooLarge(Problem):
    """The file is larger than an upload may be."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"

    def __init__(self) -> None:
        super().__init__(f"An upload may have at most {settings.VIDEOPROC_UPLOAD_MAX_BYTES} bytes.")


class NotMultipart(Problem):
    """The body is no multipart form."""

    status_code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    default_code = "unsupported_media_type"
    default_detail = "Send the file as part 'file' of a multipart/form-data body."


class MalformedForm(Problem):
    """The form breaks the rules of multipart/form-data, or ends too soon."""

    default_code = "malformed_multipart"


class TwoFiles(Problem):
    """There is more than one part called file."""

    default_code = "two_files"
    default_detail = "The form has more than one part 'file'; send each file on its own."


class NoFile(Problem):
    """There is no part called file."""

    default_code = "no_file"
    default_detail = "The form has no part 'file'."


class TooSlow(Problem):
    """The bytes come so slowly that the connection is taken for abandoned."""

    status_code = HTTPStatus.REQUEST_TIMEOUT
    default_code = "too_slow"
    default_detail = "The upload stalled."
    retryable = True


class Busy(Problem):
    """Too many files are being probed."""

    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_code = "busy"
    default_detail = "Too many files are being looked at; try again."
    retryable = True

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "5"})


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What an upload's header says of its body."""

    content_type: str
    length_bytes: int | None

    @property
    def boundary(self) -> bytes:
        """The line between the form's parts; empty where the body is no multipart form or names none."""
        kind, options = parse_options_header(self.content_type)
        return options.get(b"boundary", b"") if kind == b"multipart/form-data" else b""


def admit(declared: Declared) -> None:
    """Raise the Problem for which a body is refused before its first byte is read."""
    if not declared.boundary:
        raise NotMultipart
    length = declared.length_bytes or 0
    if length > settings.VIDEOPROC_UPLOAD_MAX_BYTES + ENVELOPE_BYTES:
        raise TooLarge
    refuse_full(length)


def refuse_full(more_bytes: int) -> None:
    """Raise the storage_full Problem where `more_bytes` do not fit above the reserve."""
    try:
        room.refuse_full(storage.free_bytes(), more_bytes)
    except StorageFull as exc:
        raise MediaProblem(StorageFull("There is not enough space left for this file.")) from exc


def clean_name(name: str) -> str:
    """Return a file name fit to be shown: its last part, without control and direction characters, 255 at most."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    plain = "".join(character for character in last if character.isprintable()).strip()
    return plain[:NAME_CHARACTERS] if plain not in {"", ".", ".."} else "unnamed"


class Prober:
    """Looks into uploaded files, in media processes of the web server's own."""

    def __init__(self) -> None:
        self._processes = launcher.MediaProcesses()
        self._places = threading.BoundedSemaphore(PROBES_AT_ONCE)

    def start(self) -> None:
        """Load the media processes' zygote now rather than at the first upload."""
        self._processes.start()

    def close(self) -> None:
        """End the media processes."""
        self._processes.close()

    def probe(self, key: str) -> MediaProbe:
        """Return what a stored file says of itself; MediaProblem where it is no video, Busy where too many wait."""
        seconds = settings.VIDEOPROC_PROBE_SECONDS
        limits = limits_for(
            "probe",
            address_space_bytes=settings.VIDEOPROC_MEDIA_ADDRESS_SPACE_BYTES,
            wall_seconds=seconds,
            stall_seconds=seconds,
        )
        if not self._places.acquire(timeout=PROBE_WAIT_SECONDS):
            raise Busy
        try:
            with storage.reading(key) as path:
                return self._processes.run(
                    "probe",
                    ProbeRequest(source=str(path)),
                    MediaProbe,
                    limits=replace(limits, cpu_seconds=max(1, round(seconds))),
                    directory=path.parent,
                )
        except MediaError as exc:
            raise MediaProblem(exc) from exc
        finally:
            self._places.release()


_prober: Prober | None = None
_making = threading.Lock()


def prober() -> Prober:
    """Return this process's prober, made at first use."""
    global _prober
    with _making:
        if _prober is None:
            _prober = Prober()
        return _prober


def close_prober() -> None:
    """End this process's prober, if there is one."""
    global _prober
    with _making:
        if _prober is not None:
            _prober.close()
            _prober = None
