"""The payment service's calls, refusals and repeats."""

import asyncio

import grpc
import pytest
from meshmart.common.v1.money_pb2 import Money
from meshmart.payment.v1 import payment_pb2
from meshmart.payment.v1 import payment_service_pb2 as pb

from services.chassis.ids import new_id
from tests.payment.conftest import WORKS, Card, Till
from tests.support.serving import refusal_of


async def test_a_card_becomes_a_token_and_its_number_is_not_kept(till: Till):
    method_id = await till.method()

    stored = await till.served.database.one("SELECT row_to_json(payment_method)::text FROM payment_method")
    listed = await till.stub.ListPaymentMethods(pb.ListPaymentMethodsRequest(), metadata=till.headers())

    assert [(method.id, method.last_four) for method in listed.payment_methods] == [(method_id, "4242")]
    assert listed.payment_methods[0].brand == payment_pb2.PaymentMethod.BRAND_VISA
    assert WORKS not in str(stored)


async def test_payment_methods_are_listed_newest_first_a_page_at_a_time(till: Till):
    made = [await till.method() for _ in range(3)]

    first = await till.stub.ListPaymentMethods(pb.ListPaymentMethodsRequest(page_size=2), metadata=till.headers())
    second = await till.stub.ListPaymentMethods(
        pb.ListPaymentMethodsRequest(page_size=2, page_token=first.next_page_token), metadata=till.headers()
    )

    assert [method.id for page in (first, second) for method in page.payment_methods] == made[::-1]
    assert second.next_page_token == ""


async def test_a_page_token_of_another_method_is_refused(till: Till):
    request = pb.ListPaymentMethodsRequest(page_token="x")

    refusal = await refusal_of(till.stub.ListPaymentMethods(request, metadata=till.headers()))

    assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


@pytest.mark.parametrize(
    ("card", "code", "reason"),
    [
        pytest.param({"number": "4242424242424243"}, "INVALID_ARGUMENT", "CARD_INVALID", id="a wrong check digit"),
        pytest.param({"expire_year": 2020}, "FAILED_PRECONDITION", "CARD_EXPIRED", id="an expired card"),
        pytest.param({"number": "4242"}, "INVALID_ARGUMENT", "REQUEST_INVALID", id="too few digits"),
    ],
)
async def test_a_card_is_refused(till: Till, card, code, reason):
    refusal = await refusal_of(till.method(**card))

    assert (refusal.code.name, refusal.reason) == (code, reason)


async def test_an_amount_is_held_and_shown_to_its_customer_only(till: Till):
    order_id = new_id()
    await till.authorize(order_id)

    shown = await till.stub.GetPayment(pb.GetPaymentRequest(order_id=str(order_id)), metadata=till.headers())
    refusal = await refusal_of(
        till.stub.GetPayment(pb.GetPaymentRequest(order_id=str(order_id)), metadata=till.headers(new_id()))
    )

    assert shown.payment.state == payment_pb2.Payment.STATE_AUTHORIZED
    assert shown.payment.amount == Money(currency_code="EUR", minor_units=1999)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "PAYMENT_NOT_FOUND")


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [
        pytest.param("4000000000000002", "FAILED_PRECONDITION", "CARD_DECLINED", id="declined"),
        pytest.param("4000000000009995", "FAILED_PRECONDITION", "CARD_DECLINED", id="insufficient funds"),
        pytest.param("4000000000000119", "UNAVAILABLE", "PROCESSOR_UNAVAILABLE", id="the processor is away"),
    ],
)
async def test_an_authorization_is_refused_when_the_card_is(till: Till, number, code, reason):
    order_id = new_id()

    refusal = await refusal_of(till.authorize(order_id, number))

    assert (refusal.code.name, refusal.reason) == (code, reason)
    assert await till.state(order_id) == "NONE"


async def test_a_silent_processor_ends_with_the_deadline(till: Till):
    request = till.authorization(await till.method("4000000000000259"), new_id())

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await till.stub.AuthorizePayment(request, timeout=0.3)

    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_somebody_elses_payment_method_does_not_exist(till: Till):
    request = till.authorization(await till.method(), new_id(), customer_id=str(new_id()))

    refusal = await refusal_of(till.stub.AuthorizePayment(request))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "PAYMENT_METHOD_NOT_FOUND")


async def test_a_processor_that_answers_twice_holds_once(till: Till):
    order_id = new_id()
    await till.authorize(order_id, "4000000000003220")

    assert await till.state(order_id) == "AUTHORIZED"


async def test_a_repeated_authorization_is_answered_with_the_first_reply(till: Till):
    request = till.authorization(await till.method(), new_id())

    replies = await asyncio.gather(*(till.stub.AuthorizePayment(request) for _ in range(10)))

    assert all(reply == replies[0] for reply in replies)


async def test_a_request_id_is_not_reused_for_another_amount(till: Till):
    request = till.authorization(await till.method(), new_id())
    await till.stub.AuthorizePayment(request)
    request.amount.minor_units = 1

    refusal = await refusal_of(till.stub.AuthorizePayment(request))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "REQUEST_ID_REUSED")


async def test_a_repeat_is_recognised_though_the_card_is_not_remembered(till: Till):
    request = pb.CreatePaymentMethodRequest(
        request_id=str(new_id()),
        card=Card(number=WORKS, expire_month=12, expire_year=2099, security_code="123"),
    )

    first = await till.stub.CreatePaymentMethod(request, metadata=till.headers())
    again = await till.stub.CreatePaymentMethod(request, metadata=till.headers())
    request.card.number = "5555555555554444"
    refusal = await refusal_of(till.stub.CreatePaymentMethod(request, metadata=till.headers()))

    assert first == again
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "REQUEST_ID_REUSED")


async def test_a_void_that_comes_first_refuses_the_authorization_that_comes_late(till: Till):
    order_id = new_id()
    await till.void(order_id)

    refusal = await refusal_of(till.authorize(order_id))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PAYMENT_VOIDED")
    assert await till.state(order_id) == "VOIDED"


async def test_a_hold_is_given_up_as_often_as_it_is_asked(till: Till):
    order_id = new_id()
    await till.authorize(order_id)

    await till.void(order_id)
    await till.void(order_id)

    assert await till.state(order_id) == "VOIDED"
