"""What a product is, how it may change, and why a change is refused."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.catalog.domain import (
    SEARCH_WORD_LIMIT,
    Description,
    EtagStale,
    ImportInvalid,
    ProductNotFound,
    UpdateMaskInvalid,
    check_import,
    in_order,
    new_product,
    revised,
    search_words,
)
from services.chassis.ids import new_id
from services.chassis.money import Money

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 5, 1, 13, tzinfo=UTC)
TOLD = Description(
    sku="TEA-0001",
    display_name="Quiet Assam",
    description="Malty and kind.",
    category="coffee-and-tea",
    price=Money("EUR", 840),
    tags=("tea", "breakfast"),
)
UNTOLD = Description(sku="", display_name="", description="", category="", price=None, tags=())


def _product(product_id: UUID | None = None):
    return new_product(product_id or new_id(), TOLD, NOON)


def test_a_new_product_is_what_was_told_in_its_first_version():
    product = _product()
    assert (product.sku, product.display_name, product.price) == ("TEA-0001", "Quiet Assam", Money("EUR", 840))
    assert (product.version, product.create_time, product.update_time) == (1, NOON, NOON)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("display_name", "Loud Assam"),
        ("description", ""),
        ("category", "garden"),
        ("price", Money("EUR", 0)),
        ("tags", ()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_update_changes_what_the_mask_names_and_nothing_else(path, value):
    product = _product()
    changed = revised(product, replace(UNTOLD, **{path: value}), [path], "", LATER)
    assert changed == replace(product, **{path: value}, version=2, update_time=LATER)


@pytest.mark.parametrize(
    "paths",
    [[], ["id"], ["sku"], ["etag"], ["create_time"], ["price.minor_units"], ["*"], ["display_name", "colour"]],
    ids=lambda paths: "+".join(paths) or "empty",
)
def test_a_mask_names_only_what_may_change(paths):
    with pytest.raises(UpdateMaskInvalid) as error:
        revised(_product(), TOLD, paths, "", LATER)
    assert list(error.value.fields) == ["update_mask"]


@pytest.mark.parametrize("path", ["display_name", "category", "price"])
def test_an_update_does_not_empty_what_a_product_must_have(path):
    with pytest.raises(UpdateMaskInvalid) as error:
        revised(_product(), UNTOLD, [path], "", LATER)
    assert list(error.value.fields) == [f"product.{path}"]


def test_a_stale_etag_refuses_the_update():
    first = _product()
    second = revised(first, TOLD, ["description"], first.etag, LATER)
    with pytest.raises(EtagStale) as error:
        revised(second, TOLD, ["description"], first.etag, LATER)
    assert error.value.metadata == {"product_id": str(first.id)}


def test_products_come_in_the_order_of_the_ids():
    products = [_product() for _ in range(4)]
    ids = [product.id for product in reversed(products)]
    assert [product.id for product in in_order(ids, products)] == ids


def test_the_first_unknown_id_is_named():
    known, unknown, also_unknown = _product(), new_id(), new_id()
    with pytest.raises(ProductNotFound) as error:
        in_order([known.id, unknown, also_unknown], [known])
    assert error.value.metadata == {"product_id": str(unknown)}


def test_an_import_says_one_thing_of_a_sku():
    check_import([TOLD, replace(TOLD, sku="TEA-0002")])
    with pytest.raises(ImportInvalid) as error:
        check_import([TOLD, replace(TOLD, sku="TEA-0002"), TOLD])
    assert error.value.metadata == {"position": "2"}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("Wool blanket", ["wool", "blanket"]),
        ("tea, TEA & more tea!", ["tea", "more"]),
        ("l'été à Köln", ["l", "été", "à", "köln"]),
        ("!?", []),
        ("a\0b", ["a", "b"]),
        (" ".join(map(str, range(50))), [str(number) for number in range(SEARCH_WORD_LIMIT)]),
    ],
    ids=["two words", "repeats", "accents", "none", "a NUL", "many"],
)
def test_a_query_is_looked_for_by_its_words(query, words):
    assert search_words(query) == words
