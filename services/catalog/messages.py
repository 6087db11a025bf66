"""The catalog's domain as messages of the contract, and back."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from meshmart.catalog.v1 import product_pb2
from meshmart.catalog.v1.product_events_pb2 import ProductChanged
from meshmart.common.v1 import money_pb2

from services.catalog.domain import Description, Product
from services.chassis.money import Money


def description_of(message: product_pb2.Product) -> Description:
    """Return what a merchant says of a product; what the server sets is left out."""
    price = Money(message.price.currency_code, message.price.minor_units) if message.HasField("price") else None
    return Description(
        sku=message.sku,
        display_name=message.display_name,
        description=message.description,
        category=message.category,
        price=price,
        tags=tuple(message.tags),
    )


def product_message(product: Product) -> product_pb2.Product:
    """Return a product as the contract shows it."""
    return product_pb2.Product(
        id=str(product.id),
        sku=product.sku,
        display_name=product.display_name,
        description=product.description,
        category=product.category,
        price=_money(product.price),
        tags=product.tags,
        etag=product.etag,
        create_time=_timestamp(product.create_time),
        update_time=_timestamp(product.update_time),
    )


def product_changed(product: Product) -> ProductChanged:
    """Return the event of a product that was created or changed."""
    return ProductChanged(
        product_id=str(product.id),
        sku=product.sku,
        display_name=product.display_name,
        category=product.category,
        price=_money(product.price),
        change_time=_timestamp(product.update_time),
    )


def _money(money: Money) -> money_pb2.Money:
    return money_pb2.Money(currency_code=money.currency_code, minor_units=money.minor_units)


def _timestamp(time: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(time)
    return message
