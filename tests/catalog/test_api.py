"""Reading and maintaining products through a real host, with a real database behind it."""

import asyncio

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from meshmart.catalog.v1 import catalog_service_pb2 as pb
from meshmart.catalog.v1.product_pb2 import Product

from services.catalog.domain import IMPORT_LIMIT
from services.chassis.ids import new_id
from tests.catalog.conftest import told
from tests.support.serving import refusal_of

UNKNOWN = str(new_id())


async def test_a_product_is_read_as_it_was_created(catalog):
    created = await catalog.create(told(description="Malty.", tags=["tea", "morning"]))
    assert await catalog.get(created.id) == created
    assert (created.sku, created.price.minor_units, created.tags) == ("TEA-0001", 840, ["tea", "morning"])
    assert created.etag
    assert created.create_time == created.update_time


async def test_products_are_read_in_the_order_asked_for(catalog):
    created = [await catalog.create(told(f"TEA-{number}")) for number in range(3)]
    ids = [product.id for product in reversed(created)]
    reply = await catalog.stub.BatchGetProducts(pb.BatchGetProductsRequest(product_ids=ids))
    assert [product.id for product in reply.products] == ids


async def test_an_unknown_product_is_not_found(catalog):
    known = await catalog.create(told())
    refusals = [
        await refusal_of(catalog.get(UNKNOWN)),
        await refusal_of(
            catalog.stub.BatchGetProducts(pb.BatchGetProductsRequest(product_ids=[known.id, UNKNOWN, str(new_id())]))
        ),
        await refusal_of(catalog.update(told(id=UNKNOWN), "description")),
    ]
    for refusal in refusals:
        assert (refusal.code.name, refusal.reason) == ("NOT_FOUND", "PRODUCT_NOT_FOUND")
        assert refusal.metadata == {"product_id": UNKNOWN}


async def test_products_are_listed_by_name_a_page_at_a_time(catalog):
    names = ["Fig", "Apple", "Date", "Banana", "Cherry", "Apple"]
    await catalog.import_all([told(f"FRUIT-{number}", name) for number, name in enumerate(names)])
    assert await catalog.listed(page_size=4) == [["Apple", "Apple", "Banana", "Cherry"], ["Date", "Fig"]]
    assert await catalog.listed(page_size=3) == [["Apple", "Apple", "Banana"], ["Cherry", "Date", "Fig"]]
    assert await catalog.listed() == [sorted(names)]


async def test_a_category_is_listed_alone(catalog):
    await catalog.import_all([told("A-1", "Assam"), told("B-1", "Bench", category="garden"), told("C-1", "Ceylon")])
    assert await catalog.listed(category="coffee-and-tea", page_size=1) == [["Assam"], ["Ceylon"]]
    assert await catalog.listed(category="books") == [[]]


@pytest.mark.parametrize("token", ["nonsense", "WyJMaXN0UHJvZHVjdHMiLCJ4Il0"], ids=["garbage", "another list's"])
async def test_a_page_token_comes_from_the_same_list(catalog, token):
    listing = catalog.stub.ListProducts(pb.ListProductsRequest(page_token=token))
    searching = catalog.stub.SearchProducts(pb.SearchProductsRequest(query="tea", page_token=token))
    for refusal in (await refusal_of(listing), await refusal_of(searching)):
        assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


async def test_a_page_token_belongs_to_its_category_and_its_query(catalog):
    await catalog.import_all([told("A-1", "Assam tea"), told("C-1", "Ceylon tea")])
    listed = await catalog.stub.ListProducts(pb.ListProductsRequest(page_size=1))
    found = await catalog.stub.SearchProducts(pb.SearchProductsRequest(query="tea", page_size=1))
    others = [
        catalog.stub.ListProducts(pb.ListProductsRequest(page_token=listed.next_page_token, category="garden")),
        catalog.stub.SearchProducts(pb.SearchProductsRequest(query="Assam", page_token=found.next_page_token)),
    ]
    assert [(await refusal_of(other)).reason for other in others] == ["PAGE_TOKEN_INVALID", "PAGE_TOKEN_INVALID"]


async def test_a_sku_belongs_to_one_product(catalog):
    await catalog.create(told("TEA-0001"))
    refusal = await refusal_of(catalog.create(told("TEA-0001", "Another")))
    assert (refusal.code.name, refusal.reason) == ("ALREADY_EXISTS", "SKU_TAKEN")
    assert refusal.metadata == {"sku": "TEA-0001"}


async def test_a_repeated_creation_gets_the_first_answer(catalog):
    request_id = str(new_id())
    answers = await asyncio.gather(*(catalog.create(told(), request_id=request_id) for _ in range(10)))
    assert all(answer == answers[0] for answer in answers)
    assert await catalog.database.one("SELECT (SELECT count(*) FROM product), (SELECT count(*) FROM outbox)") == (1, 1)


async def test_a_request_id_belongs_to_one_request(catalog):
    request_id = str(new_id())
    product = await catalog.create(told(), request_id=request_id)
    await catalog.update(told(id=product.id, name="Quieter"), "display_name", request_id=request_id)
    reused = [
        await refusal_of(catalog.create(told("TEA-0002"), request_id=request_id)),
        await refusal_of(catalog.update(told(id=product.id, name="Loud"), "display_name", request_id=request_id)),
    ]
    assert [(refusal.code.name, refusal.reason) for refusal in reused] == [("ABORTED", "REQUEST_ID_REUSED")] * 2


async def test_an_update_changes_what_the_mask_names(catalog):
    created = await catalog.create(told(description="Malty."))
    updated = await catalog.update(
        told("OTHER-1", "Loud Assam", id=created.id, price={"currency_code": "EUR", "minor_units": 900}),
        "display_name",
        "price",
    )
    assert (updated.display_name, updated.price.minor_units) == ("Loud Assam", 900)
    assert (updated.sku, updated.description) == (created.sku, created.description)
    assert updated.etag != created.etag
    assert updated.update_time.ToNanoseconds() > created.update_time.ToNanoseconds()
    assert await catalog.get(created.id) == updated


async def test_a_repeated_update_gets_the_first_answer_although_its_etag_is_stale_now(catalog):
    created = await catalog.create(told())
    change = told(id=created.id, name="Loud Assam", etag=created.etag)
    request_id = str(new_id())
    first = await catalog.update(change, "display_name", request_id=request_id)
    assert await catalog.update(change, "display_name", request_id=request_id) == first


async def test_a_stale_etag_refuses_the_update(catalog):
    created = await catalog.create(told())
    await catalog.update(told(id=created.id, name="Loud Assam"), "display_name")
    refusal = await refusal_of(catalog.update(told(id=created.id, etag=created.etag), "display_name"))
    assert (refusal.code.name, refusal.reason) == ("ABORTED", "ETAG_STALE")
    assert (await catalog.get(created.id)).display_name == "Loud Assam"


async def test_of_updates_at_once_with_one_etag_one_is_written_and_without_etag_all_are(catalog):
    created = await catalog.create(told())
    guarded = told(id=created.id, etag=created.etag)
    outcomes = await asyncio.gather(
        *(catalog.update(guarded, "display_name") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Product) for outcome in outcomes) == 1
    await asyncio.gather(*(catalog.update(told(id=created.id), "display_name") for _ in range(5)))
    assert await catalog.database.one("SELECT version FROM product") == (7,)


@pytest.mark.parametrize("paths", [[], ["sku"], ["price.minor_units"]], ids=["empty", "immutable", "nested"])
async def test_a_mask_names_only_what_may_change(catalog, paths):
    created = await catalog.create(told())
    refusal = await refusal_of(catalog.update(told(id=created.id), *paths))
    assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "UPDATE_MASK_INVALID")


async def test_an_import_creates_and_replaces_by_sku(catalog):
    kept, replaced = await catalog.create(told("A-1", "Assam")), await catalog.create(told("B-1", "Bohea"))
    products = [told("A-1", "Assam"), told("B-1", "Better Bohea", tags=["tea"]), told("C-1", "Ceylon")]
    assert await catalog.import_all(products) == (1, 2)
    assert await catalog.get(kept.id) == kept, "what is already as told stays untouched"
    assert (await catalog.get(replaced.id)).display_name == "Better Bohea"
    assert await catalog.import_all(products) == (0, 3)


INVALID = [
    pytest.param(told("lower case"), id="a broken rule"),
    pytest.param(Product(sku="C-1", display_name="Ceylon", category="tea"), id="no price"),
    pytest.param(told("A-1", "Another Assam"), id="a repeated sku"),
]


@pytest.mark.parametrize("invalid", INVALID)
async def test_one_invalid_product_stops_the_whole_import(catalog, invalid):
    refusal = await refusal_of(catalog.import_all([told("A-1"), told("B-1"), invalid, told("D-1")]))
    assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "IMPORT_INVALID")
    assert refusal.metadata == {"position": "2"}
    assert await catalog.listed() == [[]]


@pytest.mark.slow
async def test_an_import_of_the_longest_length_is_taken_and_a_longer_one_is_not(catalog):
    products = [told(f"P-{number}") for number in range(IMPORT_LIMIT + 1)]
    refusal = await refusal_of(catalog.import_all(products))
    assert (refusal.reason, refusal.metadata) == ("IMPORT_INVALID", {"position": str(IMPORT_LIMIT)})
    assert await catalog.import_all(products[:-1]) == (IMPORT_LIMIT, 0)


async def test_text_that_no_database_holds_is_refused(catalog):
    refusals = [
        await refusal_of(catalog.create(told(description="a\0b"))),
        await refusal_of(catalog.import_all([told(description="a\0b")])),
        await refusal_of(catalog.stub.ListProducts(pb.ListProductsRequest(category="a\0b"))),
    ]
    assert [refusal.reason for refusal in refusals] == ["REQUEST_INVALID"] * 3


async def test_only_staff_maintains_products(catalog):
    create = pb.CreateProductRequest(request_id=str(new_id()), product=told())
    update = pb.UpdateProductRequest(
        request_id=str(new_id()), product=told(id=UNKNOWN), update_mask=FieldMask(paths=["description"])
    )
    imported = iter([pb.ImportProductsRequest(product=told())])
    calls = [
        catalog.stub.CreateProduct(create, metadata=catalog.customer),
        catalog.stub.UpdateProduct(update, metadata=catalog.customer),
        catalog.stub.ImportProducts(imported, metadata=catalog.customer),
    ]
    assert [(await refusal_of(call)).reason for call in calls] == ["STAFF_REQUIRED"] * 3
