"""A served catalog, and what staff do with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from meshmart.catalog.v1 import catalog_service_pb2 as pb
from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from meshmart.catalog.v1.product_pb2 import Product

from services.catalog.service import SERVICE
from services.chassis.database import Database
from services.chassis.ids import new_id
from tests.support.tokens import Headers

if TYPE_CHECKING:  # exists for the type checker only
    from meshmart.catalog.v1.catalog_service_pb2_grpc import CatalogServiceAsyncStub


def told(sku="TEA-0001", name="Quiet Assam", **fields: Any) -> Product:
    """Return a complete product as a merchant would send it."""
    defaults: dict[str, Any] = {"category": "coffee-and-tea", "price": {"currency_code": "EUR", "minor_units": 840}}
    return Product(sku=sku, display_name=name, **{**defaults, **fields})


@dataclass
class Catalog:
    """A served catalog."""

    stub: "CatalogServiceAsyncStub"
    database: Database
    staff: Headers
    customer: Headers

    async def create(self, product: Product, *, request_id: str = "") -> Product:
        request = pb.CreateProductRequest(request_id=request_id or str(new_id()), product=product)
        return (await self.stub.CreateProduct(request, metadata=self.staff)).product

    async def update(self, product: Product, *paths: str, request_id: str = "") -> Product:
        request = pb.UpdateProductRequest(
            request_id=request_id or str(new_id()), product=product, update_mask=FieldMask(paths=paths)
        )
        return (await self.stub.UpdateProduct(request, metadata=self.staff)).product

    async def import_all(self, products: Sequence[Product]) -> tuple[int, int]:
        requests = (pb.ImportProductsRequest(product=product) for product in products)
        reply = await self.stub.ImportProducts(requests, metadata=self.staff)
        return reply.created_count, reply.updated_count

    async def get(self, product_id: str) -> Product:
        return (await self.stub.GetProduct(pb.GetProductRequest(product_id=product_id))).product

    async def listed(self, *, page_size: int = 0, category: str = "") -> list[list[str]]:
        """Return the names on each page."""
        pages: list[list[str]] = []
        token = ""
        while token or not pages:
            request = pb.ListProductsRequest(page_size=page_size, page_token=token, category=category)
            reply = await self.stub.ListProducts(request)
            pages.append([product.display_name for product in reply.products])
            token = reply.next_page_token
        return pages

    async def found(self, query: str, *, page_size: int = 0) -> list[list[str]]:
        """Return the names on each page of a search."""
        pages: list[list[str]] = []
        token = ""
        while token or not pages:
            request = pb.SearchProductsRequest(query=query, page_size=page_size, page_token=token)
            reply = await self.stub.SearchProducts(request)
            pages.append([product.display_name for product in reply.products])
            token = reply.next_page_token
        return pages


@pytest.fixture
async def catalog(serve) -> Catalog:
    served = await serve(SERVICE)
    return Catalog(
        stub=served.stub(CatalogServiceStub),
        database=served.database,
        staff=served.identity.headers(new_id(), "staff"),
        customer=served.identity.headers(),
    )
