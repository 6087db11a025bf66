"""The catalog's methods: read the request, call the domain, build the response."""

import math
import zlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf.message import Message
from meshmart.catalog.v1 import catalog_service_pb2 as pb
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceServicer

from services.catalog.domain import (
    IMPORT_LIMIT,
    Description,
    Product,
    check_import,
    check_mask,
    new_product,
    revised,
    unusable_import,
)
from services.catalog.messages import description_of, product_changed, product_message
from services.catalog.store import Effects, Store
from services.chassis import idempotency, pages
from services.chassis.ids import new_id
from services.chassis.outbox import Outbox
from services.chassis.refusals import RequestInvalid

FIRST_ID = UUID(int=0)
LAST_ID = UUID(int=(1 << 128) - 1)


class CatalogApi(CatalogServiceServicer):
    """Serves `meshmart.catalog.v1.CatalogService`."""

    def __init__(self, store: Store, outbox: Outbox) -> None:
        """Take the collaborators."""
        self._store = store
        self._outbox = outbox

    async def GetProduct(self, request: pb.GetProductRequest, context: Any) -> pb.GetProductResponse:
        """Return one product."""
        [product] = await self._store.get([UUID(request.product_id)])
        return pb.GetProductResponse(product=product_message(product))

    async def BatchGetProducts(self, request: pb.BatchGetProductsRequest, context: Any) -> pb.BatchGetProductsResponse:
        """Return several products in the order asked for."""
        products = await self._store.get([UUID(product_id) for product_id in request.product_ids])
        return pb.BatchGetProductsResponse(products=map(product_message, products))

    async def ListProducts(self, request: pb.ListProductsRequest, context: Any) -> pb.ListProductsResponse:
        """List products by name."""
        page = pages.read(request, _list_of("ListProducts", request.category))
        [after] = _place(page, UUID) or (FIRST_ID,)
        products = await self._store.list_by_name(request.category, after, page.size + 1)
        shown, token = pages.cut(page, products, lambda product: [str(product.id)])
        return pb.ListProductsResponse(products=map(product_message, shown), next_page_token=token)

    async def SearchProducts(self, request: pb.SearchProductsRequest, context: Any) -> pb.SearchProductsResponse:
        """Find products by words."""
        page = pages.read(request, _list_of("SearchProducts", request.query), keys=2)
        rank, product_id = _place(page, float, UUID) or (math.inf, LAST_ID)
        found = await self._store.search(request.query, (rank, product_id), page.size + 1)
        shown, token = pages.cut(page, found, lambda match: [repr(match[1]), str(match[0].id)])
        return pb.SearchProductsResponse(products=[product_message(one) for one, _ in shown], next_page_token=token)

    async def CreateProduct(self, request: pb.CreateProductRequest, context: Any) -> pb.CreateProductResponse:
        """Create a product."""
        product = new_product(new_id(), description_of(request.product), datetime.now(UTC))
        reply = pb.CreateProductResponse(product=product_message(product))
        await self._store.add(product, self._effects(product, reply))
        self._outbox.wake()
        return reply

    async def UpdateProduct(self, request: pb.UpdateProductRequest, context: Any) -> pb.UpdateProductResponse:
        """Change the fields of a product that the mask names."""
        told, paths = description_of(request.product), list(request.update_mask.paths)
        check_mask(told, paths)
        changed = await self._store.change(
            UUID(request.product.id),
            lambda product: revised(product, told, paths, request.product.etag, datetime.now(UTC)),
            lambda product: self._effects(product, _update_response(product)),
        )
        self._outbox.wake()
        return _update_response(changed)

    async def ImportProducts(
        self, request: AsyncIterator[pb.ImportProductsRequest], context: Any
    ) -> pb.ImportProductsResponse:
        """Create or replace products by sku, all or none."""
        told = await _read_import(request)
        check_import(told)
        now = datetime.now(UTC)
        created = await self._store.put_all([new_product(new_id(), one, now) for one in told], self._event)
        self._outbox.wake()
        return pb.ImportProductsResponse(created_count=created, updated_count=len(told) - created)

    def _effects(self, product: Product, reply: Message) -> Effects:
        return self._event(product) | idempotency.parameters(reply)

    def _event(self, product: Product) -> dict[str, Any]:
        return self._outbox.parameters(product_changed(product), product.id)


def _update_response(product: Product) -> pb.UpdateProductResponse:
    return pb.UpdateProductResponse(product=product_message(product))


def _list_of(method: str, filtered_by: str) -> str:
    """Return whose tokens a list takes: those of the same method and filter, in few letters for the token's sake."""
    return f"{method} {zlib.crc32(filtered_by.encode()):x}"


def _place(page: pages.Page, *kinds: Callable[[str], Any]) -> list[Any]:
    """Return the keys that a page begins after; nothing for the first page."""
    try:
        return [kind(key) for kind, key in zip(kinds, page.after or (), strict=False)]
    except ValueError:
        raise pages.PageTokenInvalid("page_token holds no place in the list") from None


async def _read_import(requests: AsyncIterator[pb.ImportProductsRequest]) -> list[Description]:
    """Return what the stream says. Raises ImportInvalid for the first message that cannot be taken."""
    told: list[Description] = []
    try:
        async for request in requests:
            if len(told) == IMPORT_LIMIT:
                raise unusable_import(IMPORT_LIMIT, f"an import has at most {IMPORT_LIMIT} products")
            told.append(description_of(request.product))
    except RequestInvalid as error:
        problem = "; ".join(f"{field} {text}" for field, text in error.fields.items())
        raise unusable_import(len(told), problem) from None
    return told
