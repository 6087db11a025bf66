"""What a product is, how it may change, and why a change is refused."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from services.chassis.errors import DomainError, Kind
from services.chassis.money import Money

IMPORT_LIMIT = 10_000
SEARCH_WORD_LIMIT = 8

_CHANGEABLE = ("display_name", "description", "category", "price", "tags")
_NEVER_EMPTY = frozenset({"display_name", "category", "price"})


class ProductNotFound(DomainError):
    """There is no such product."""

    kind = Kind.NOT_FOUND
    reason = "PRODUCT_NOT_FOUND"


class SkuTaken(DomainError):
    """Another product has the sku."""

    kind = Kind.ALREADY_EXISTS
    reason = "SKU_TAKEN"


class EtagStale(DomainError):
    """The product changed since the caller read it."""

    kind = Kind.ABORTED
    reason = "ETAG_STALE"


class UpdateMaskInvalid(DomainError):
    """The mask names something that is not changed by an update, or nothing."""

    kind = Kind.INVALID_ARGUMENT
    reason = "UPDATE_MASK_INVALID"


class ImportInvalid(DomainError):
    """One product of an import cannot be taken, so none was."""

    kind = Kind.INVALID_ARGUMENT
    reason = "IMPORT_INVALID"


@dataclass(frozen=True, slots=True)
class Description:
    """What a merchant says of a product; `price` is None only where an update does not name it."""

    sku: str
    display_name: str
    description: str
    category: str
    price: Money | None
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """Something the shop sells."""

    id: UUID
    sku: str
    display_name: str
    description: str
    category: str
    price: Money
    tags: tuple[str, ...]
    version: int
    create_time: datetime
    update_time: datetime

    @property
    def etag(self) -> str:
        """Version of the record as callers see it."""
        return str(self.version)


def new_product(product_id: UUID, told: Description, now: datetime) -> Product:
    """Return the first version of a product. The contract has made sure that the price is there."""
    assert told.price is not None  # noqa: S101  # for the type checker; `product.complete` in the contract
    return Product(
        id=product_id,
        sku=told.sku,
        display_name=told.display_name,
        description=told.description,
        category=told.category,
        price=told.price,
        tags=told.tags,
        version=1,
        create_time=now,
        update_time=now,
    )


def revised(product: Product, told: Description, paths: Collection[str], etag: str, now: datetime) -> Product:
    """Return the next version of a product, changed where the mask says so. An empty etag accepts any version."""
    check_mask(told, paths)
    if etag and etag != product.etag:
        raise EtagStale("the product changed since it was read", metadata={"product_id": str(product.id)})
    changes: dict[str, Any] = {path: getattr(told, path) for path in paths}
    return replace(product, **changes, version=product.version + 1, update_time=now)


def check_mask(told: Description, paths: Collection[str]) -> None:
    """Refuse a mask that is empty, names what cannot change, or empties what a product must have."""
    unknown = [path for path in paths if path not in _CHANGEABLE]
    if unknown or not paths:
        problem = f"may name {', '.join(_CHANGEABLE)}; got {', '.join(unknown) or 'nothing'}"
        raise UpdateMaskInvalid("update_mask is not valid", fields={"update_mask": problem})
    emptied = [path for path in paths if path in _NEVER_EMPTY and not getattr(told, path)]
    if emptied:
        problems = {f"product.{path}": "must be set when update_mask names it" for path in emptied}
        raise UpdateMaskInvalid("update_mask names fields that are empty", fields=problems)


def in_order(ids: Iterable[UUID], found: Iterable[Product]) -> list[Product]:
    """Return the products in the order of the ids. Raises ProductNotFound for the first id that has none."""
    by_id = {product.id: product for product in found}
    try:
        return [by_id[product_id] for product_id in ids]
    except KeyError as error:
        raise unknown_product(error.args[0]) from None


def unknown_product(product_id: UUID) -> ProductNotFound:
    """Return the refusal for an id that no product has."""
    return ProductNotFound("no such product", metadata={"product_id": str(product_id)})


def unusable_import(position: int, problem: str) -> ImportInvalid:
    """Return the refusal of an import because of its message at a position, counted from 0."""
    return ImportInvalid(
        f"message {position}: {problem}; nothing was imported",
        metadata={"position": str(position)},
        fields={f"product[{position}]": problem},
    )


def check_import(told: Sequence[Description]) -> None:
    """Refuse an import that says two things of one sku."""
    first_at: dict[str, int] = {}
    for position, one in enumerate(told):
        if one.sku in first_at:
            raise unusable_import(position, f"sku {one.sku} is also in message {first_at[one.sku]}")
        first_at[one.sku] = position


def search_words(query: str) -> list[str]:
    """Return the words of a query, each once, in lower case; the first few of a long one."""
    return list(dict.fromkeys(re.findall(r"\w+", query.lower())))[:SEARCH_WORD_LIMIT]
