"""Lists are read page by page, with tokens that only their own method takes."""

from types import SimpleNamespace

import pytest

from services.chassis import pages
from services.chassis.pages import PageTokenInvalid


def request(size: int = 0, token: str = "") -> SimpleNamespace:
    return SimpleNamespace(page_size=size, page_token=token)


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        pytest.param(0, 20, id="0 is the default"),
        pytest.param(1, 1, id="as asked"),
        pytest.param(100, 100, id="the most"),
        pytest.param(101, 100, id="too much is lowered"),
    ],
)
def test_the_size_of_a_page(asked, size):
    assert pages.read(request(asked), "ListThings").size == size


def test_pages_follow_each_other_to_the_end():
    things = [f"thing-{n:02}" for n in range(45)]
    found: list[str] = []
    token = ""
    while not found or token:
        page = pages.read(request(token=token), "ListThings")
        rows = [thing for thing in things if page.after is None or thing > page.after[0]][: page.size + 1]
        shown, token = pages.cut(page, rows, lambda thing: [thing])
        assert len(shown) <= 20
        found += shown
    assert found == things


def test_a_token_is_text_for_an_address():
    page = pages.read(request(1), "ListThings")
    _, token = pages.cut(page, ["ä/+?"] * 2, lambda thing: [thing, "2"])
    assert token.replace("-", "").replace("_", "").isalnum()
    assert pages.read(request(token=token), "ListThings", keys=2).after == ("ä/+?", "2")


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("!", id="no base64"),
        pytest.param("ä", id="no ASCII"),
        pytest.param("bm8ganNvbg", id="no JSON"),
        pytest.param("e30", id="another shape"),
        pytest.param("WyJMaXN0VGhpbmdzIiwxXQ", id="a key that is no text"),
        pytest.param("WyJMaXN0VGhpbmdzIl0", id="too few keys"),
        pytest.param("WyJMaXN0T3RoZXJzIiwiYSJd", id="of another method"),
    ],
)
def test_a_token_that_was_not_given_is_refused(token):
    with pytest.raises(PageTokenInvalid) as refusal:
        pages.read(request(token=token), "ListThings")
    assert list(refusal.value.fields) == ["page_token"]
