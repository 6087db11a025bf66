"""The rules of reservations, without any part."""

from uuid import UUID

import pytest

from services.inventory.domain import (
    Line,
    ProductRepeated,
    Reservation,
    ReservationCommitted,
    ReservationExists,
    ReservationReleased,
    State,
    confirmation_is_settled,
    hold,
    hold_again,
    in_order,
    insufficient,
    require_given_back,
)

ORDER, TEA, POT = UUID(int=9), UUID(int=1), UUID(int=2)
LINES = (Line(TEA, 3), Line(POT, 1))


def found(state: State, *, cancelled=False, lines=LINES) -> Reservation:
    return Reservation(ORDER, state, lines, cancelled)


def test_a_hold_has_its_lines_in_the_order_of_products():
    assert hold(ORDER, [Line(POT, 1), Line(TEA, 3)]) == found(State.HELD)


def test_a_product_in_two_lines_is_refused_by_the_name_of_the_second():
    with pytest.raises(ProductRepeated) as refusal:
        hold(ORDER, [Line(TEA, 3), Line(POT, 1), Line(TEA, 1)])
    assert list(refusal.value.fields) == ["lines[2].product_id"]


def test_lines_of_the_same_product_are_added_up():
    assert in_order([Line(POT, 1), Line(TEA, 1), Line(TEA, 2)]) == LINES


@pytest.mark.parametrize("state", [State.HELD, State.COMMITTED])
def test_a_second_hold_of_the_same_units_is_answered_with_the_first(state):
    assert hold_again(found(state), found(State.HELD)) == found(state)


@pytest.mark.parametrize(
    ("first", "error"),
    [
        pytest.param(found(State.RELEASED), ReservationReleased, id="released"),
        pytest.param(found(State.RELEASED, lines=()), ReservationReleased, id="tombstone"),
        pytest.param(found(State.RESTOCKED), ReservationReleased, id="restocked"),
        pytest.param(found(State.HELD, lines=(Line(TEA, 1),)), ReservationExists, id="of other units"),
    ],
)
def test_a_second_hold_is_refused(first, error):
    with pytest.raises(error) as refusal:
        hold_again(first, found(State.HELD))
    assert refusal.value.metadata == {"order_id": str(ORDER)}


def test_too_few_units_are_refused_by_the_names_of_the_products():
    assert insufficient(ORDER, [POT, TEA]).metadata == {"order_id": str(ORDER), "product_ids": f"{TEA},{POT}"}


@pytest.mark.parametrize("first", [None, found(State.RELEASED), found(State.RESTOCKED)])
def test_what_holds_nothing_may_be_released(first):
    require_given_back(first)


def test_what_is_sold_may_not_be_released():
    with pytest.raises(ReservationCommitted):
        require_given_back(found(State.COMMITTED))


@pytest.mark.parametrize(
    ("first", "settled"),
    [
        pytest.param(None, False, id="never held"),
        pytest.param(found(State.RELEASED), False, id="expired"),
        pytest.param(found(State.HELD), False, id="held a moment later"),
        pytest.param(found(State.COMMITTED), True, id="confirmed before"),
        pytest.param(found(State.RESTOCKED, cancelled=True), True, id="cancelled after it was confirmed"),
        pytest.param(found(State.RELEASED, cancelled=True), True, id="cancelled before it was confirmed"),
    ],
)
def test_a_confirmation_is_settled(first, settled):
    assert confirmation_is_settled(first) is settled
