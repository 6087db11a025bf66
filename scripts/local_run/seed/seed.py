"""Fills an empty shop through its edge, as a member of staff would: products by import, stock by restocking."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

import grpc
from google.protobuf.json_format import ParseDict
from meshmart.catalog.v1.catalog_service_pb2 import ImportProductsRequest, ListProductsRequest
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from meshmart.catalog.v1.product_pb2 import Product
from meshmart.identity.v1.identity_service_pb2 import CreateSessionRequest
from meshmart.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from meshmart.inventory.v1.inventory_service_pb2 import BatchGetStockRequest, RestockProductRequest
from meshmart.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub

if TYPE_CHECKING:  # exists for the type checker only
    from meshmart.inventory.v1.inventory_service_pb2_grpc import InventoryServiceAsyncStub

PRODUCTS: Final = Path(__file__).with_name("products.json")
TIMEOUT: Final = 10.0
"""Seconds that each call may take."""
CONCURRENCY: Final = 8
"""Restocks in flight at once."""
PAGE: Final = 100

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Seeded:
    """What seeding did; all zero but `products` when it was done before."""

    products: int
    created: int
    restocked: int


async def seed(edge_address: str, staff_email: str, staff_password: str) -> Seeded:
    """Import the shop's products and stock those that never were. Doing it again does nothing more."""
    goods = read_products()
    async with grpc.aio.insecure_channel(edge_address) as channel:
        headers = await _sign_in(channel, staff_email, staff_password)
        requests = (ImportProductsRequest(product=product) for product, _ in goods)
        imported = await CatalogServiceStub(channel).ImportProducts(requests, metadata=headers, timeout=TIMEOUT)
        ids = await _ids_by_sku(channel)
        deliveries = {ids[product.sku]: quantity for product, quantity in goods}
        restocked = await _restock(channel, deliveries, headers)
    return Seeded(len(goods), imported.created_count, restocked)


def read_products() -> list[tuple[Product, int]]:
    """Return the shop's products, each with its first delivery in units."""
    return [_product(told) for told in json.loads(PRODUCTS.read_text(encoding="utf-8"))]


def _product(told: dict[str, Any]) -> tuple[Product, int]:
    return ParseDict({name: value for name, value in told.items() if name != "stock"}, Product()), told["stock"]


async def _sign_in(channel: grpc.aio.Channel, email: str, password: str) -> Headers:
    request = CreateSessionRequest(email=email, password=password)
    reply = await IdentityServiceStub(channel).CreateSession(request, timeout=TIMEOUT)
    return (("authorization", f"Bearer {reply.session.access_token}"),)


async def _ids_by_sku(channel: grpc.aio.Channel) -> dict[str, str]:
    catalog = CatalogServiceStub(channel)
    ids: dict[str, str] = {}
    token, more = "", True
    while more:
        page = await catalog.ListProducts(ListProductsRequest(page_size=PAGE, page_token=token), timeout=TIMEOUT)
        ids |= {product.sku: product.id for product in page.products}
        token = page.next_page_token
        more = bool(token)
    return ids


async def _restock(channel: grpc.aio.Channel, deliveries: Mapping[str, int], headers: Headers) -> int:
    inventory = InventoryServiceStub(channel)
    places = asyncio.Semaphore(CONCURRENCY)

    async def restock(product_id: str) -> None:
        # The same id each time, so that two seeds at once deliver once.
        request_id = str(uuid5(UUID(product_id), "seed"))
        request = RestockProductRequest(request_id=request_id, product_id=product_id, quantity=deliveries[product_id])
        async with places:
            await inventory.RestockProduct(request, metadata=headers, timeout=TIMEOUT)

    bare = await _never_stocked(inventory, list(deliveries))
    await asyncio.gather(*map(restock, bare))
    return len(bare)


async def _never_stocked(inventory: "InventoryServiceAsyncStub", product_ids: list[str]) -> list[str]:
    """Return the products that had no delivery yet; request ids are forgotten after a day, so they do not tell."""
    found: list[str] = []
    for some in _batches(product_ids):
        reply = await inventory.BatchGetStock(BatchGetStockRequest(product_ids=some), timeout=TIMEOUT)
        found += [stock.product_id for stock in reply.stocks if not stock.available + stock.reserved + stock.sold]
    return found


def _batches(product_ids: list[str]) -> Iterator[Iterable[str]]:
    for start in range(0, len(product_ids), PAGE):
        yield product_ids[start : start + PAGE]
