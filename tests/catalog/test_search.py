"""Finding products by words, among the products of the shop."""

import pytest

from scripts.local_run.seed.seed import read_products
from tests.catalog.conftest import Catalog


@pytest.fixture
async def shop(catalog: Catalog) -> Catalog:
    await catalog.import_all([product for product, _ in read_products()])
    return catalog


BEST = {
    "coffee": "Harbour Morning Filter Coffee, 250 g",
    "PEPPER mills": "Pepper Mill Tower, Walnut",
    "a blanket for the train": "Wool Travel Blanket Compartment",
    "bees": "Wildflower Seed Mix Bee Lane",
    "cofee": "Harbour Morning Filter Coffee, 250 g",
    "kettel": "Gooseneck Kettle Piper, 0.9 l",
    "secaturs": "Bypass Secateurs Finch",
    "fountin pen": "Fountain Pen Estuary, Fine",
    "lihgthouse keper": "The Lighthouse Keeper's Apprentice",
    "bakgammon": "Backgammon Roll, Canvas",
}


async def test_the_best_match_comes_first_however_it_is_spelt(shop):
    assert {query: (await shop.found(query))[0][0] for query in BEST} == BEST


async def test_what_is_not_sold_is_not_found(shop):
    for query in ("bicycle", "zzzzzz", "!!!", "\0", "%", "' OR 1=1 --"):
        assert await shop.found(query) == [[]], query


async def test_a_name_counts_more_than_a_description(shop):
    [names] = await shop.found("tea", page_size=100)
    assert "Tea" in names[0]
    assert len(names) > 10


async def test_the_pages_of_a_search_hold_each_match_once(shop):
    for query in ("tea", "blankit"):
        [whole] = await shop.found(query, page_size=100)
        pages = await shop.found(query, page_size=3)
        assert [name for page in pages for name in page] == whole
        assert all(len(page) == 3 for page in pages[:-1])
        assert len(pages) > 1
