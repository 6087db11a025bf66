"""Each kind of failure has its code, one ErrorInfo and what else belongs to it, for unary calls and for streams."""

import grpc
import nats.errors
import psycopg
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from meshmart.order.v1 import order_service_pb2
from meshmart.order.v1.order_service_pb2 import CartLine

from services.chassis import exchange
from services.chassis.errors import DomainError, Kind
from services.chassis.neighbour_errors import NeighbourCallError, neighbour_error
from services.chassis.overload import RETRY_AFTER
from services.chassis.refusals import Overloaded
from tests.chassis.shop import GET, IMPORT, WATCH, failing
from tests.support.refusals import refused


class OrderUnknown(DomainError):
    """There is no such order."""

    kind = Kind.NOT_FOUND
    reason = "ORDER_UNKNOWN"


class TooLate(DomainError):
    """The order was sent."""

    kind = Kind.FAILED_PRECONDITION
    reason = "TOO_LATE"


def neighbour_answered(code: grpc.StatusCode) -> NeighbourCallError:
    metadata = grpc.aio.Metadata()
    return NeighbourCallError("payment", grpc.aio.AioRpcError(code, metadata, metadata, details="told in confidence"))


FAILURES = [
    pytest.param(OrderUnknown("no such order", metadata={"order_id": "1"}), "NOT_FOUND", "ORDER_UNKNOWN", id="unknown"),
    pytest.param(TooLate("it was sent"), "FAILED_PRECONDITION", "TOO_LATE", id="refused state change"),
    pytest.param(psycopg.OperationalError("lost"), "UNAVAILABLE", "DATABASE_UNAVAILABLE", id="lost database"),
    pytest.param(nats.errors.TimeoutError(), "UNAVAILABLE", "BROKER_UNAVAILABLE", id="silent broker"),
    pytest.param(nats.errors.ConnectionClosedError(), "UNAVAILABLE", "BROKER_UNAVAILABLE", id="lost broker"),
    pytest.param(TimeoutError(), "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", id="lapsed deadline"),
    pytest.param(Overloaded("full", retry_after=0.5), "RESOURCE_EXHAUSTED", "OVERLOADED", id="overload"),
    pytest.param(
        neighbour_answered(grpc.StatusCode.UNAVAILABLE), "UNAVAILABLE", "NEIGHBOUR_UNAVAILABLE", id="neighbour down"
    ),
    pytest.param(
        neighbour_answered(grpc.StatusCode.DEADLINE_EXCEEDED),
        "DEADLINE_EXCEEDED",
        "DEADLINE_EXCEEDED",
        id="neighbour too slow",
    ),
    pytest.param(
        neighbour_answered(grpc.StatusCode.NOT_FOUND), "INTERNAL", "INTERNAL", id="refusal that nobody expected"
    ),
    pytest.param(KeyError("secret"), "INTERNAL", "INTERNAL", id="bug"),
    pytest.param(NotImplementedError(), "UNIMPLEMENTED", "METHOD_UNIMPLEMENTED", id="unimplemented"),
]


@pytest.mark.parametrize(("error", "code", "reason"), FAILURES)
async def test_a_failure_of_a_unary_call_has_its_code_and_reason(shop, error, code, reason):
    shop.orders.act = failing(error)
    with refused(code, reason):
        await shop.order.GetOrder(GET, metadata=shop.customer)


@pytest.mark.parametrize(("error", "code", "reason"), FAILURES)
async def test_a_failure_of_a_stream_of_responses_has_the_same(shop, error, code, reason):
    shop.orders.act = failing(error)
    call = shop.order.WatchOrder(WATCH, metadata=shop.customer)
    with refused(code, reason):
        async for _ in call:
            pass


@pytest.mark.parametrize(("error", "code", "reason"), FAILURES)
async def test_a_failure_of_a_stream_of_requests_has_the_same(shop, error, code, reason):
    shop.products.act = failing(error)
    with refused(code, reason):
        await shop.catalog.ImportProducts(iter([IMPORT]), metadata=shop.staff)


async def test_what_a_stream_sent_before_it_failed_arrives(shop):
    shop.orders.act = failing(TooLate("it was sent"))
    call = shop.order.WatchOrder(WATCH, metadata=shop.customer)
    assert [(await call.read()).version, (await call.read()).version] == [1, 2]
    with refused("FAILED_PRECONDITION", "TOO_LATE"):
        await call.read()


async def test_a_domain_error_brings_its_metadata_and_fields(shop):
    shop.orders.act = failing(OrderUnknown("no such order", metadata={"order_id": "1"}, fields={"order_id": "unknown"}))
    with refused("NOT_FOUND", "ORDER_UNKNOWN") as told:
        await shop.order.GetOrder(GET, metadata=shop.customer)
    assert (told.message, told.metadata, told.fields) == (
        "no such order",
        {"order_id": "1"},
        {"order_id": "unknown"},
    )


async def test_overload_says_when_to_come_back(shop):
    shop.orders.act = failing(Overloaded("full", retry_after=RETRY_AFTER))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await shop.order.GetOrder(GET, metadata=shop.customer)
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # its stubs do not know grpc.aio
    assert status is not None
    retry = error_details_pb2.RetryInfo()
    assert [detail.Unpack(retry) for detail in status.details] == [False, True]
    assert retry.retry_delay.ToTimedelta().total_seconds() == RETRY_AFTER


async def test_a_bug_tells_its_caller_nothing_but_where_it_is_logged(shop, caplog):
    shop.orders.act = failing(KeyError("the secret"))
    with refused("INTERNAL", "INTERNAL") as told:
        await shop.order.GetOrder(GET, metadata=shop.customer)
    assert (told.message, list(told.metadata)) == ("internal error", ["reference"])
    [record] = [record for record in caplog.records if record.message == "bug"]
    assert record.fields["reference"] == told.metadata["reference"]
    assert "the secret" in str(record.exc_info[1])


async def test_a_neighbour_in_trouble_is_named_and_its_words_are_kept(shop):
    shop.orders.act = failing(neighbour_answered(grpc.StatusCode.UNAVAILABLE))
    with refused("UNAVAILABLE", "NEIGHBOUR_UNAVAILABLE") as told:
        await shop.order.GetOrder(GET, metadata=shop.customer)
    assert (told.message, told.metadata) == ("payment does not answer", {"neighbour": "payment"})


async def test_a_refusal_can_be_read_by_a_caller_that_branches_on_it(shop):
    shop.orders.act = failing(OrderUnknown("no such order", metadata={"order_id": "1"}))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await shop.order.GetOrder(GET, metadata=shop.customer)
    refusal = neighbour_error(caught.value)
    assert refusal is not None
    assert (refusal.code, refusal.reason, refusal.metadata) == (
        grpc.StatusCode.NOT_FOUND,
        "ORDER_UNKNOWN",
        {"order_id": "1"},
    )


def raw(shop, kind: str, path: str):
    return getattr(shop.channel, kind)(path)


UNARY = "/meshmart.order.v1.OrderService/GetOrder"
WATCHING = "/meshmart.order.v1.OrderService/WatchOrder"
IMPORTING = "/meshmart.catalog.v1.CatalogService/ImportProducts"
BYTES = [
    pytest.param(b"\xff\xff\xff", "INVALID_ARGUMENT", "MESSAGE_MALFORMED", id="malformed"),
    pytest.param(b"\x0a" * (exchange.MAX_REQUEST_BYTES + 1), "RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE", id="oversized"),
    pytest.param(b"", "INVALID_ARGUMENT", "REQUEST_INVALID", id="invalid"),
]


@pytest.mark.parametrize(("data", "code", "reason"), BYTES)
async def test_bad_bytes_are_refused_in_a_unary_call(shop, data, code, reason):
    with refused(code, reason):
        await raw(shop, "unary_unary", UNARY)(data, metadata=shop.customer)


@pytest.mark.parametrize(("data", "code", "reason"), BYTES)
async def test_bad_bytes_are_refused_before_a_stream_begins(shop, data, code, reason):
    with refused(code, reason):
        await raw(shop, "unary_stream", WATCHING)(data, metadata=shop.customer).read()


@pytest.mark.parametrize(("data", "code", "reason"), BYTES)
async def test_bad_bytes_are_refused_within_a_stream_of_requests(shop, data, code, reason):
    with refused(code, reason):
        await raw(shop, "stream_unary", IMPORTING)(iter([IMPORT.SerializeToString(), data]), metadata=shop.staff)


async def test_an_invalid_request_says_which_fields_are_wrong(shop):
    lines = [CartLine(product_id="x", quantity=1), CartLine()]
    with refused("INVALID_ARGUMENT", "REQUEST_INVALID") as told:
        await shop.order.QuoteOrder(order_service_pb2.QuoteOrderRequest(lines=lines))
    assert list(told.fields) == ["lines[0].product_id", "lines[1].product_id", "lines[1].quantity"]


async def test_a_request_with_many_faults_is_told_as_many_as_fit(shop):
    lines = [CartLine(product_id=str(number)) for number in range(50)]
    with refused("INVALID_ARGUMENT", "REQUEST_INVALID") as told:
        await shop.order.QuoteOrder(order_service_pb2.QuoteOrderRequest(lines=lines))
    assert len(told.fields) == 20


async def test_a_method_that_is_not_served_is_refused_with_a_reason(shop):
    with refused("UNIMPLEMENTED", "METHOD_UNIMPLEMENTED"):
        await raw(shop, "unary_unary", "/meshmart.order.v1.OrderService/DropOrder")(b"")


async def test_a_method_that_nobody_wrote_is_refused_with_a_reason(shop):
    request = order_service_pb2.CancelOrderRequest(request_id=GET.order_id, order_id=GET.order_id)
    with refused("UNIMPLEMENTED", "METHOD_UNIMPLEMENTED"):
        await shop.order.CancelOrder(request, metadata=shop.customer)
