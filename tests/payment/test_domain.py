"""A card's rules."""

from datetime import UTC, datetime

import pytest

from services.chassis.errors import DomainError
from services.payment.domain import Brand, Card, brand_of, check_card, luhn_valid
from services.payment.processor import BEHAVIOURS

TODAY = datetime(2026, 11, 21, tzinfo=UTC)


def card(number: str = "4242424242424242", month: int = 11, year: int = 2026) -> Card:
    return Card(number, month, year, "123")


@pytest.mark.parametrize("number", [*BEHAVIOURS, "4242424242424242", "378282246310005", "5555555555554444"])
def test_a_documented_card_has_a_valid_check_digit(number):
    assert luhn_valid(number)


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        pytest.param(card(number="4242424242424243"), "CARD_INVALID", id="a wrong check digit"),
        pytest.param(card(month=10), "CARD_EXPIRED", id="last month"),
        pytest.param(card(month=12, year=2025), "CARD_EXPIRED", id="last year"),
    ],
)
def test_a_card_is_refused_for(refused, reason):
    with pytest.raises(DomainError) as refusal:
        check_card(refused, TODAY)

    assert refusal.value.reason == reason


def test_a_card_works_until_the_end_of_its_month():
    check_card(card(), TODAY)


@pytest.mark.parametrize(
    ("number", "brand"),
    [
        ("4242424242424242", Brand.VISA),
        ("5555555555554444", Brand.MASTERCARD),
        ("2223003122003222", Brand.MASTERCARD),
        ("378282246310005", Brand.AMEX),
        ("6011111111111117", Brand.UNSPECIFIED),
    ],
)
def test_the_brand_follows_from_the_number(number, brand):
    assert brand_of(number) is brand


def test_a_card_shows_nothing_of_itself():
    assert "4242" not in repr(card())
