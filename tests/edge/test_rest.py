"""What REST clients meet beside the calls themselves: mistakes, limits, streams, origins."""

import io
import json

import aiohttp
import pytest

from tests.support.fake_shop import UNKNOWN_ID, UNSUBSCRIBE_TOKEN
from tests.support.fronts import Refusal

TOO_LARGE = json.dumps({"lines": [{"productId": "x" * 100}] * 11_000})
MALFORMED, UNKNOWN = Refusal(3, "MESSAGE_MALFORMED"), Refusal(12, "METHOD_UNKNOWN")


@pytest.mark.parametrize(
    ("verb", "path", "body", "status", "refusal"),
    [
        pytest.param("GET", "/", None, 404, UNKNOWN, id="root"),
        pytest.param("GET", "/v2/products/1", None, 404, UNKNOWN, id="unknown path"),
        pytest.param("PUT", "/v1/products/1", None, 404, UNKNOWN, id="unknown verb"),
        pytest.param("POST", "/meshmart.catalog.v1.CatalogService/GetProduct", "{}", 404, UNKNOWN, id="rpc as rest"),
        pytest.param(
            "POST", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "{}", 404, UNKNOWN, id="reflect"
        ),
        pytest.param("GET", "/v1/products/1?colour=red", None, 400, MALFORMED, id="unknown query"),
        pytest.param("GET", "/v1/products?page_size=many", None, 400, MALFORMED, id="no number"),
        pytest.param("GET", "/v1/products/a%2Fb", None, 400, MALFORMED, id="slash in disguise"),
        pytest.param("POST", "/v1/orders:quote", "{", 400, MALFORMED, id="broken json"),
        pytest.param("POST", "/v1/orders:quote", '{"lines": 7}', 400, MALFORMED, id="wrong type"),
        pytest.param(
            "POST",
            "/v1/orders:quote",
            TOO_LARGE,
            413,
            Refusal(8, "MESSAGE_TOO_LARGE"),
            id="too large",
        ),
    ],
)
async def test_a_mistake_is_told_as_a_status_with_a_reason(fronts, verb, path, body, status, refusal):
    answer = await fronts.rest(verb, path, data=body and io.BytesIO(body.encode()))
    assert (answer.status, answer.refusal) == (status, refusal), answer.text


async def test_a_mistake_in_json_says_what_is_wrong(fronts):
    answer = await fronts.rest("POST", "/v1/orders:quote", data='{"lines": 7}')
    assert "lines" in answer.body["message"]


async def test_a_services_refusal_arrives_with_its_details(fronts):
    answer = await fronts.rest("GET", f"/v1/products/{UNKNOWN_ID}")
    info, fields = answer.body["details"]
    assert (answer.status, answer.refusal) == (404, Refusal(5, "PRODUCT_NOT_FOUND"))
    assert info["domain"] == "meshmart.dev"
    assert fields["fieldViolations"][0]["field"] == "product_id"


async def test_a_success_shows_every_field_and_no_trace_of_grpc(fronts):
    answer = await fronts.rest("GET", "/v1/products/1")
    assert answer.body["product"]["category"] == ""
    assert not {"grpc-status", "grpc-message", "grpc-accept-encoding"} & answer.headers.keys()
    assert not [name for name in answer.headers if name.startswith("x-envoy-")]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_stream_arrives_as_server_sent_events(fronts, minter):
    answer = await fronts.rest("GET", "/v1/orders/1:watch", minter.token())
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert answer.headers["content-type"] == "text/event-stream"
    assert [(event["state"], event["resumeToken"]) for event in events] == [
        ("STATE_PENDING", "a"),
        ("STATE_CONFIRMED", "b"),
    ]


async def test_a_stream_refused_before_its_first_message_is_an_ordinary_refusal(fronts, minter):
    answer = await fronts.rest("GET", f"/v1/orders/{UNKNOWN_ID}:watch", minter.token())
    assert (answer.status, answer.refusal) == (404, Refusal(5, "ORDER_NOT_FOUND"))


async def test_a_service_that_hangs_is_a_lapsed_deadline(fronts, minter):
    answer = await fronts.rest("GET", "/v1/paymentMethods", minter.token())
    assert (answer.status, answer.refusal) == (504, Refusal(4, "DEADLINE_EXCEEDED"))


async def test_a_service_that_is_gone_is_unavailable(fronts):
    answer = await fronts.rest("GET", "/v1/stock/1")
    assert (answer.status, answer.refusal) == (503, Refusal(14, "SERVICE_UNAVAILABLE"))


@pytest.mark.parametrize(("origin", "allowed"), [("http://localhost:3000", True), ("http://evil.example", False)])
async def test_only_pages_of_known_origins_may_call(fronts, origin, allowed):
    headers = {"origin": origin, "access-control-request-method": "POST"}
    answer = await fronts.rest("OPTIONS", "/v1/orders", headers=headers)
    assert (answer.headers.get("access-control-allow-origin") == origin) is allowed


async def test_a_refused_page_can_read_why(fronts):
    answer = await fronts.rest("POST", "/v1/orders", json={}, headers={"origin": "http://localhost:3000"})
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert answer.refusal == Refusal(16, "TOKEN_MISSING")


ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(ONE_CLICK, id="as a form"),
        pytest.param(aiohttp.FormData(ONE_CLICK, default_to_multipart=True), id="as a multipart form"),
        pytest.param(None, id="without a body"),
    ],
)
async def test_a_mail_program_unsubscribes_by_one_click(fronts, shop, body):
    path = f"/v1/notifications:unsubscribe?token={UNSUBSCRIBE_TOKEN}"
    answer = await fronts.rest("POST", path, data=body)
    assert (answer.status, answer.body) == (200, {}), answer.text
    assert len(shop.seen) == 1


async def test_a_mail_program_that_only_looks_at_the_link_unsubscribes_nobody(fronts, shop):
    answer = await fronts.rest("GET", f"/v1/notifications:unsubscribe?token={UNSUBSCRIBE_TOKEN}")
    assert (answer.status, shop.seen) == (404, [])
