"""Reads a multipart form as it comes: the file's bytes go to disk and into a digest, once; everything else is capped.

Blocking, for a thread. Memory does not grow with the file. The part `file` is the file, whatever its content type.
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

from django.conf import settings
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from processing.api.errors import MediaProblem
from processing.media.errors import EmptySource, StorageFull
from uploads.validators import MalformedForm, NoFile, TooLarge, TwoFiles, clean_name, refuse_full

FILE = "file"
MAX_PARTS = 16
MAX_FIELD_BYTES = 4096
MAX_HEADERS = 8
MAX_HEADER_BYTES = 8192
CHECK_SPACE_EACH_BYTES = 64 * 1024**2


class FormReader:
    """Takes the body in pieces of any size; the file is written to `path`, which must not exist."""

    def __init__(self, boundary: bytes, path: Path) -> None:
        self.name = ""
        self.size_bytes = 0
        self.fields: dict[str, str] = {}
        self._digest = hashlib.sha256()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._checked_bytes = 0
        self._parts = 0
        self._has_file = False
        self._is_whole = False
        self._part = ""
        self._header = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._text = bytearray()
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": self._header_goes_on,
                    "on_header_value": self._value_goes_on,
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._part_goes_on,
                    "on_part_end": self._part_ends,
                    "on_end": self._form_ends,
                },
                max_header_count=MAX_HEADERS,
                max_header_size=MAX_HEADER_BYTES,
            )
        except FormParserError as exc:
            self.close()
            raise MalformedForm(str(exc)) from exc

    @property
    def sha256(self) -> str:
        """The digest of the file so far, in hexadecimal."""
        return self._digest.hexdigest()

    def feed(self, data: bytes) -> None:
        """Read the next piece of the body.

        Raises:
            MalformedForm, TwoFiles, TooLarge: what the sender did wrong.
            MediaProblem: storage_full.
        """
        try:
            self._parser.write(data)
        except FormParserError as exc:
            raise MalformedForm(str(exc)) from exc
        except OSError as exc:
            if exc.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                raise MediaProblem(StorageFull("There is no space left for this file.")) from exc
            raise

    def finish(self) -> None:
        """Check that the form is whole and holds a file: MalformedForm, NoFile or MediaProblem (empty_file)."""
        if not self._is_whole:
            raise MalformedForm("The body ends before the form does.")
        if not self._has_file:
            raise NoFile
        if not self.size_bytes:
            raise MediaProblem(EmptySource("The file has no bytes."))

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise MalformedForm(f"The form has more than {MAX_PARTS} parts.")
        self._headers = {}
        self._text = bytearray()

    def _header_goes_on(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _value_goes_on(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _headers_end(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        if kind != b"form-data" or b"name" not in options:
            raise MalformedForm("A part has no name.")
        self._part = _text(options[b"name"])
        if self._part == FILE:
            if self._has_file:
                raise TwoFiles
            self._has_file = True
            self.name = clean_name(_text(options.get(b"filename", b"")))
        elif self._part in self.fields:
            raise MalformedForm(f"The field {self._part[:64]!r} is there twice.")

    def _part_goes_on(self, data: bytes, start: int, end: int) -> None:
        if self._part == FILE:
            self._write(memoryview(data)[start:end])
        elif len(self._text) + end - start > MAX_FIELD_BYTES:
            raise MalformedForm(f"The field {self._part[:64]!r} is longer than {MAX_FIELD_BYTES} bytes.")
        else:
            self._text += data[start:end]

    def _part_ends(self) -> None:
        if self._part != FILE:
            self.fields[self._part] = _text(bytes(self._text))

    def _form_ends(self) -> None:
        self._is_whole = True

    def _write(self, piece: memoryview) -> None:
        self.size_bytes += len(piece)
        if self.size_bytes > settings.VIDEOPROC_UPLOAD_MAX_BYTES:
            raise TooLarge
        if self.size_bytes - self._checked_bytes > CHECK_SPACE_EACH_BYTES:
            refuse_full(0)
            self._checked_bytes = self.size_bytes
        self._digest.update(piece)
        while piece:
            piece = piece[os.write(self._descriptor, piece) :]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
