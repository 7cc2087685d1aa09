"""Structured logs: one line a record, `time level logger event key=value …`, the same for every process."""

from __future__ import annotations

import json
import logging
import re
import time

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "data", "color_message"}

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What ends or turns a line, steers a terminal, or cannot be written at all."""
_PLAIN = re.compile(r"[\w.:/+-]+", re.ASCII)


class LineFormatter(logging.Formatter):
    """Formats a record and whatever was passed as `extra` on one line; values with spaces are quoted as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        parts = [f"{stamp}.{int(record.msecs):03d}Z {record.levelname} {record.name} {record.getMessage()}"]
        for key, value in vars(record).items():
            if key not in _STANDARD and not key.startswith("_"):
                plain = str(value)
                # json.dumps escapes line breaks, so a hostile file name cannot forge a second line.
                parts.append(f"{key}={plain if _PLAIN.fullmatch(plain) else json.dumps(plain, ensure_ascii=False)}")
        line = _UNSEEN.sub(_escaped, " ".join(parts))
        if record.exc_info:
            # Indented, and without other line ends, so that what an exception quotes cannot pass for a record.
            trace = self.formatException(record.exc_info).split("\n")
            line += "".join(f"\n  {_UNSEEN.sub(_escaped, row)}" for row in trace)
        return line


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
