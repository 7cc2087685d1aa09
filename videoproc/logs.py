"""Structured logs: one line a record, `time level logger event key=value …`, the same for every process."""

from __future__ import annotations

import json
import logging
import re
import time

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "data", "color_message"}

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
        line = " ".join(parts).replace("\n", "\\n")
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line
