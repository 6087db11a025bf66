"""Logs: one JSON line per record, gathered, and nothing in them that must not be."""

import asyncio
import io
import json
import logging

import pytest
from meshmart.identity.v1.identity_service_pb2 import CreateSessionRequest

from services.chassis.logs import LineWriter, Logs

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
METHOD = "/meshmart.order.v1.OrderService/GetOrder"


@pytest.fixture
def stream():
    return io.BytesIO()


def _lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_call_is_one_line_with_all_that_is_known_of_it(stream):
    log = Logs("INFO", stream).method("order", METHOD)

    log.call("NOT_FOUND", "ORDER_NOT_FOUND", 0.0012345, TRACEPARENT, "customer-1", "storefront")

    [line] = _lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "INFO",
        "service": "order",
        "event": "call",
        "method": METHOD,
        "code": "NOT_FOUND",
        "reason": "ORDER_NOT_FOUND",
        "duration_ms": 1.234,
        "trace_id": TRACE_ID,
        "principal": "customer-1",
        "peer": "storefront",
    }


def test_what_a_caller_sends_cannot_forge_a_line(stream):
    Logs("INFO", stream).method("order", METHOD).call("OK", "", 0.001, TRACEPARENT, '"}\n{"forged":"', "é\u2028")

    [line] = _lines(stream)
    assert line["principal"] == '"}\n{"forged":"'
    assert line["peer"] == "é\u2028"


@pytest.mark.parametrize(
    ("code", "level"),
    [
        ("OK", "INFO"),
        ("NOT_FOUND", "INFO"),
        ("DEADLINE_EXCEEDED", "WARNING"),
        ("UNAVAILABLE", "WARNING"),
        ("INTERNAL", "ERROR"),
    ],
)
def test_the_level_of_a_call_says_whose_mistake_it_was(stream, code, level):
    Logs("INFO", stream).method("order", METHOD).call(code, "", 0.001, TRACEPARENT)

    assert _lines(stream)[0]["level"] == level


def test_what_is_below_the_level_is_not_written(stream):
    log = Logs("WARNING", stream).method("order", METHOD)

    log.call("OK", "", 0.001, TRACEPARENT)
    log.call("INTERNAL", "INTERNAL", 0.001, TRACEPARENT)

    assert [line["code"] for line in _lines(stream)] == ["INTERNAL"]


def test_a_message_in_a_debug_line_lacks_what_the_contract_redacts(stream):
    log = Logs("DEBUG", stream).method("identity", METHOD)

    log.message("request", CreateSessionRequest(email="ada@example.com", password="correct horse"))

    assert log.debug
    assert b"correct horse" not in stream.getvalue()
    assert b"ada@example.com" not in stream.getvalue()
    assert _lines(stream)[0]["level"] == "DEBUG"


def test_records_of_the_standard_library_are_json_lines_too(stream):
    with Logs("INFO", stream):
        logging.getLogger("meshmart.order").info("saga resumed", extra={"fields": {"order_id": "7"}})

    [line] = _lines(stream)
    assert (line["logger"], line["message"], line["order_id"]) == ("meshmart.order", "saga resumed", "7")


def test_an_exception_is_in_its_line(stream):
    with Logs("INFO", stream):
        logging.getLogger("meshmart.order").error("bug", exc_info=ValueError("broken"))

    [line] = _lines(stream)
    assert line["exception"].endswith("ValueError: broken")


def test_the_standard_library_is_let_go_afterwards(stream):
    before = logging.getLogger().handlers[:]
    with Logs("INFO", stream):
        pass

    assert logging.getLogger().handlers == before


class _Announcing(io.BytesIO):
    """A stream that tells when it was flushed."""

    def __init__(self):
        super().__init__()
        self.flushed = asyncio.Event()

    def flush(self):
        self.flushed.set()


async def test_lines_are_gathered_and_written_together():
    stream = _Announcing()
    writer = LineWriter(stream)

    writer.write("{}")
    writer.write("{}")
    assert stream.getvalue() == b""

    await asyncio.wait_for(stream.flushed.wait(), 5)
    assert stream.getvalue() == b"{}\n{}\n"


async def test_much_is_written_at_once(stream):
    writer = LineWriter(stream)

    writer.write("x" * 40_000)

    assert len(stream.getvalue()) == 40_001


async def test_an_error_does_not_wait(stream):
    with Logs("INFO", stream):
        logging.getLogger("meshmart.order").error("lost")

        assert _lines(stream)[0]["message"] == "lost"


async def test_what_is_left_is_written_at_the_end(stream):
    with Logs("INFO", stream) as logs:
        logs.method("order", METHOD).call("OK", "", 0.001, TRACEPARENT)

    assert len(_lines(stream)) == 1
