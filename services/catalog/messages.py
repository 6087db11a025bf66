"""The catalog's domain as messages of the contract, and back."""

from meshmart.catalog.v1 import product_pb2
from meshmart.catalog.v1.product_events_pb2 import ProductChanged

from services.catalog.domain import Description, Product
from services.chassis.messages import amount, money, timestamp


def description_of(message: product_pb2.Product) -> Description:
    """Return what a merchant says of a product; what the server sets is left out."""
    price = amount(message.price) if message.HasField("price") else None
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
        price=money(product.price),
        tags=product.tags,
        etag=product.etag,
        create_time=timestamp(product.create_time),
        update_time=timestamp(product.update_time),
    )


def product_changed(product: Product) -> ProductChanged:
    """Return the event of a product that was created or changed."""
    return ProductChanged(
        product_id=str(product.id),
        sku=product.sku,
        display_name=product.display_name,
        category=product.category,
        price=money(product.price),
        change_time=timestamp(product.update_time),
    )
