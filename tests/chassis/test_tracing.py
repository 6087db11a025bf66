"""Trace context in and out of every call and message; spans only of what is sampled."""

import subprocess
import sys

import pytest
from meshmart.catalog.v1 import catalog_service_pb2

from services.chassis.call import Call, _current
from services.chassis.contract import method_contract
from services.chassis.tracing import Sampler, Tracing, following, is_sampled, new_traceparent, outgoing

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
GET_PRODUCT = f"/{catalog_service_pb2.DESCRIPTOR.package}.CatalogService/GetProduct"
UNSAMPLED = f"00-{TRACE_ID}-00f067aa0ba902b7-00"


def test_a_new_context_is_well_formed_and_not_sampled():
    traceparent = new_traceparent()

    assert Sampler(enabled=True, ratio=1.0).begin(traceparent) == (traceparent, False)
    assert not is_sampled(traceparent)


@pytest.mark.parametrize(
    ("header", "sampled"),
    [(SAMPLED, True), (UNSAMPLED, False), (f"00-{TRACE_ID}-00f067aa0ba902b7-03", True)],
)
def test_the_callers_decision_holds(header, sampled):
    assert Sampler(enabled=True, ratio=1.0).begin(header) == (header, sampled)


def test_where_nothing_is_exported_a_sampled_context_is_handed_on_unchanged():
    assert Sampler(enabled=False, ratio=1.0).begin(SAMPLED) == (SAMPLED, False)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_call_without_context_is_sampled_by_our_ratio(ratio):
    traceparent, sampled = Sampler(enabled=True, ratio=ratio).begin(None)

    assert sampled == bool(ratio)
    assert len(traceparent) == len(SAMPLED)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        SAMPLED.upper(),
        SAMPLED[:-1],
        f"{SAMPLED}0",
        f"ff{SAMPLED[2:]}",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"{SAMPLED}\n",
    ],
)
def test_a_malformed_context_is_replaced(header):
    traceparent, _ = Sampler(enabled=True, ratio=0.0).begin(header)

    assert TRACE_ID not in traceparent
    assert len(traceparent) == len(SAMPLED)


def test_a_later_version_is_read_as_ours():
    assert Sampler(enabled=True, ratio=0.0).begin(f"cc{SAMPLED[2:]}-more") == (SAMPLED, True)


def test_outside_everything_a_new_context_goes_out():
    assert outgoing() != outgoing()


def test_a_saga_hands_its_trace_on():
    with following(SAMPLED):
        assert outgoing() == SAMPLED
    assert outgoing() != SAMPLED


def test_a_served_call_hands_its_trace_on():
    contract = method_contract(GET_PRODUCT)
    token = _current.set(Call(contract, None, 0.0, UNSAMPLED, sampled=False))
    with following(SAMPLED):
        assert outgoing() == UNSAMPLED
    _current.reset(token)


async def test_without_an_endpoint_no_method_gets_a_span():
    tracing = Tracing()
    method = method_contract(GET_PRODUCT)

    assert await tracing.service("order").server(method, lambda *_: None) is None
    assert tracing.service("order").client_interceptors() == ()
    with tracing.service("order").publishing("a.b.0", "a.b", "1", SAMPLED) as traceparent:
        assert traceparent == SAMPLED
    await tracing.close()


def test_without_an_endpoint_opentelemetry_is_not_loaded():
    code = "import sys, services.chassis.host; sys.exit('opentelemetry' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
