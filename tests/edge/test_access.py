"""Who may do what: the same answer over REST and over gRPC."""

import grpc
import pytest
from meshmart.catalog.v1.catalog_service_pb2 import CreateProductRequest, GetProductRequest
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from meshmart.inventory.v1.inventory_service_pb2 import ReserveStockRequest
from meshmart.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from meshmart.order.v1.order_service_pb2 import PlaceOrderRequest
from meshmart.order.v1.order_service_pb2_grpc import OrderServiceStub

from tests.support.fronts import Refusal, metadata, refusal_of
from tests.support.tokens import FakeIdentity

MISSING, INVALID, EXPIRED = Refusal(16, "TOKEN_MISSING"), Refusal(16, "TOKEN_INVALID"), Refusal(16, "TOKEN_EXPIRED")
STAFF_ONLY = Refusal(7, "STAFF_REQUIRED")

CALLS = {
    "public": ("GET", "/v1/products/1", CatalogServiceStub, "GetProduct", GetProductRequest(product_id="1")),
    "customer": ("POST", "/v1/orders", OrderServiceStub, "PlaceOrder", PlaceOrderRequest()),
    "staff": ("POST", "/v1/products", CatalogServiceStub, "CreateProduct", CreateProductRequest()),
}
TOKENS = {
    "none": lambda minter: "",
    "customer": lambda minter: minter.token(),
    "staff": lambda minter: minter.token(role="staff"),
    "expired": lambda minter: minter.token(exp=1),
    "of another issuer": lambda minter: minter.token(iss="somebody"),
    "for another audience": lambda minter: minter.token(aud="elsewhere"),
    "of another key": lambda minter: FakeIdentity().token(),
    "without expiry": lambda minter: minter.token(exp=None),
    "no token at all": lambda minter: "nonsense",
}


@pytest.mark.parametrize(
    ("access", "token", "expected"),
    [
        ("public", "none", None),
        ("public", "customer", None),
        ("public", "no token at all", None),
        ("customer", "none", MISSING),
        ("customer", "customer", None),
        ("customer", "staff", None),
        ("customer", "expired", EXPIRED),
        ("customer", "of another issuer", INVALID),
        ("customer", "for another audience", INVALID),
        ("customer", "of another key", INVALID),
        ("customer", "no token at all", INVALID),
        ("staff", "none", MISSING),
        ("staff", "expired", EXPIRED),
        ("staff", "customer", STAFF_ONLY),
        ("staff", "staff", None),
    ],
)
async def test_both_fronts_admit_and_refuse_alike(fronts, shop, minter, access, token, expected):
    verb, path, stub, method, request = CALLS[access]
    bearer = TOKENS[token](minter)
    answer = await fronts.rest(verb, path, bearer, json={} if verb == "POST" else None)
    call = getattr(stub(fronts.channel), method)(request, metadata=metadata(bearer))
    if expected is None:
        await call
        assert (answer.status, len(shop.seen)) == (200, 2)
        return
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert (refusal_of(refused.value), answer.refusal, shop.seen) == (expected, expected, [])
    assert answer.status == {16: 401, 7: 403}[expected.code]


async def test_a_token_reaches_the_service_to_be_verified_again(fronts, shop, minter):
    token = minter.token()
    await fronts.rest("POST", "/v1/orders", token, json={})
    assert shop.seen[0].metadata["authorization"] == f"Bearer {token}"


async def test_a_token_in_the_query_is_not_taken(fronts, minter):
    answer = await fronts.rest("POST", f"/v1/orders?access_token={minter.token()}", json={})
    assert answer.refusal == MISSING


async def test_an_internal_method_does_not_exist_at_the_edge(fronts, shop, minter):
    token = minter.token(role="staff")
    path = "/meshmart.inventory.v1.InventoryService/ReserveStock"
    answer = await fronts.rest("POST", path, token, json={})
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await InventoryServiceStub(fronts.channel).ReserveStock(ReserveStockRequest(), metadata=metadata(token))
    assert (answer.status, answer.refusal) == (404, Refusal(12, "METHOD_UNKNOWN"))
    assert (refusal_of(refused.value), shop.seen) == (Refusal(12, "METHOD_UNKNOWN"), [])


@pytest.mark.parametrize("name", ["l5d-dst-override", "l5d-client-id", "x-envoy-original-path", "x-envoy-retry-on"])
async def test_headers_that_the_mesh_believes_do_not_pass(fronts, shop, name):
    await CatalogServiceStub(fronts.channel).GetProduct(GetProductRequest(product_id="1"), metadata=[(name, "evil")])
    assert shop.seen[0].metadata.get(name) is None
