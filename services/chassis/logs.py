"""JSON logs, one line per record, on standard output. A served call writes one line through a path of its own."""

import atexit
import json
import logging
import sys
import time
from asyncio import get_running_loop
from json.encoder import encode_basestring_ascii as quoted
from types import TracebackType
from typing import BinaryIO, Final, Self
from uuid import UUID

from google.protobuf.message import Message

from services.chassis.call import current_call
from services.chassis.error_text import comes_from_database, trace
from services.chassis.redaction import redacted_text

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

_FLUSH_SECONDS: Final = 0.05
_FLUSH_BYTES: Final = 32_768
_TRACE_ID: Final = slice(3, 35)

_LEVELS: Final = {
    "INTERNAL": logging.ERROR,
    "UNKNOWN": logging.ERROR,
    "DATA_LOSS": logging.ERROR,
    "UNAVAILABLE": logging.WARNING,
    "RESOURCE_EXHAUSTED": logging.WARNING,
    "DEADLINE_EXCEEDED": logging.WARNING,
}
"""Levels of a call's line by its status code; what is not here is INFO, refusals too."""


class LineWriter:
    """Gathers lines and writes them together: after 50 ms, at 32 KiB, or at once where no event loop runs."""

    def __init__(self, stream: BinaryIO) -> None:
        """Write to a binary stream."""
        self._stream = stream
        self._lines: list[str] = []
        self._size = 0
        self._scheduled = False

    def write(self, line: str) -> None:
        """Add a line, without its newline."""
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _FLUSH_BYTES:
            self.flush()
        elif not self._scheduled:
            self._schedule()

    def flush(self) -> None:
        """Write what was gathered."""
        self._scheduled = False
        if self._lines:
            lines, self._lines, self._size = self._lines, [], 0
            lines.append("")
            self._stream.write("\n".join(lines).encode())
            self._stream.flush()

    def _schedule(self) -> None:
        try:
            loop = get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._scheduled = True
            loop.call_later(_FLUSH_SECONDS, self.flush)


class _Clock:
    """Writes times; the part before the milliseconds is written once a second."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second, self._text = -1, ""

    def text(self, now: float) -> str:
        second = int(now)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._text}.{int((now - second) * 1000):03d}Z"


_clock = _Clock()


class MethodLog:
    """Writes the one line per call of one method."""

    __slots__ = ("_least", "_middle", "_writer", "debug")

    def __init__(self, writer: LineWriter, least: int, service: str, method: str) -> None:
        """Write what is the same in every line once."""
        self._writer, self._least = writer, least
        self._middle = f'","service":{quoted(service)},"event":"call","method":{quoted(method)},"code":"'
        self.debug = least <= logging.DEBUG

    def call(  # noqa: PLR0913, PLR0917  # the fields of the line
        self,
        code: str,
        reason: str,
        seconds: float,
        traceparent: str,
        principal: str = "",
        peer: str = "",
        reference: str = "",
    ) -> None:
        """Write that a call ended. `principal` is the customer's id, `reference` ties an INTERNAL to its exception."""
        level = _LEVELS.get(code, logging.INFO)
        if level < self._least:
            return
        line = (
            f'{{"time":"{_clock.text(time.time())}","level":"{logging.getLevelName(level)}{self._middle}{code}",'
            f'"duration_ms":{seconds * 1000:.3f},"trace_id":"{traceparent[_TRACE_ID]}"'
        )
        for name, value in (("reason", reason), ("principal", principal), ("peer", peer), ("reference", reference)):
            if value:
                line += f',"{name}":{quoted(value)}'
        self._writer.write(line + "}")

    def message(self, direction: str, message: Message) -> None:
        """Write a message, redacted. Only where `debug` is true."""
        self._writer.write(
            f'{{"time":"{_clock.text(time.time())}","level":"DEBUG{self._middle}",'
            f'"{direction}":{quoted(redacted_text(message))}}}'
        )


class EventLog:
    """Writes the one line per event that a consumer has handled."""

    __slots__ = ("_middle", "_wanted", "_writer")

    def __init__(self, writer: LineWriter, least: int, service: str, consumer: str) -> None:
        """Write what is the same in every line once."""
        self._writer, self._wanted = writer, least <= logging.INFO
        self._middle = f'","level":"INFO","service":{quoted(service)},"event":"event","consumer":{quoted(consumer)}'

    def handled(self, event_id: UUID, aggregate_id: str, seconds: float, traceparent: str) -> None:
        """Write that an event took effect."""
        if self._wanted:
            self._writer.write(
                f'{{"time":"{_clock.text(time.time())}{self._middle},"event_id":"{event_id}",'
                f'"aggregate_id":{quoted(aggregate_id)},"duration_ms":{seconds * 1000:.3f},'
                f'"trace_id":"{traceparent[_TRACE_ID]}"}}'
            )


class JsonFormatter(logging.Formatter):
    """Turns a record of the standard library's logging into a JSON line.

    `extra={"fields": {...}}` adds fields of one's own.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        call = current_call()
        entry = {
            "time": _clock.text(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **({"trace_id": call.traceparent[_TRACE_ID]} if call else {}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)

    def formatException(self, ei: ExceptionInfo) -> str:
        """Return the lines of an exception; those of PostgreSQL would quote keys."""
        error = ei[1]
        return trace(error) if error and comes_from_database(error) else super().formatException(ei)


class _Handler(logging.Handler):
    """Hands records to the writer; errors do not wait."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.write(self.format(record))
        if record.levelno >= logging.ERROR:
            self._writer.flush()


class Logs:
    """The logs of a process, for as long as the context lasts."""

    def __init__(self, level: str = "INFO", stream: BinaryIO | None = None) -> None:
        """Log from a level on, to standard output where no stream is given."""
        self.level = logging.getLevelNamesMapping()[level]
        self.writer = LineWriter(stream or sys.stdout.buffer)
        self._handler = _Handler(self.writer)

    def __enter__(self) -> Self:
        """Take the records of the standard library's logging too."""
        root = logging.getLogger()
        self._before = root.level
        root.addHandler(self._handler)
        root.setLevel(self.level)
        atexit.register(self.writer.flush)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left and let go of the standard library's logging."""
        root = logging.getLogger()
        root.removeHandler(self._handler)
        root.setLevel(self._before)
        atexit.unregister(self.writer.flush)
        self.writer.flush()

    def method(self, service: str, full_name: str) -> MethodLog:
        """Return the log of a method, by the name of its service and its path on the wire."""
        return MethodLog(self.writer, self.level, service, full_name)

    def consumer(self, service: str, name: str) -> EventLog:
        """Return the log of a consumer, by the name of its service and its own."""
        return EventLog(self.writer, self.level, service, name)
