"""The shop while each of its processes dies, again and again, at every boundary that has a name."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from scripts.local_run.supervisor import Shop
from services.chassis.failpoint_names import AROUND, PLACES
from tests.system.crowd import Crowd
from tests.system.trail import DURABLES
from tests.system.waiting import eventually

SIDES = ("before", "after")
Deaths = Mapping[str, int]
"""Failpoints, each with the hit at which the process dies."""


def _both(name: str, hit: int) -> dict[str, int]:
    return {name.format("before"): hit, name.format("after"): hit}


ORDER: Deaths = {
    **_both("rpc.{}.PlaceOrder", 4),
    **_both("saga.{}_reserve", 6),
    "saga.after_authorize": 6,
    "saga.after_confirm": 4,
    **_both("saga.{}_turn", 2),
    "saga.after_void": 2,
    "saga.after_release": 2,
    "saga.after_reject": 2,
    **_both("rpc.{}.CancelOrder", 2),
    **_both("consumer.{}.order_PaymentCaptured", 4),
    **_both("consumer.{}.order_PaymentCaptureFailed", 1),
    **_both("consumer.{}.order_PaymentRefunded", 2),
    **_both("consumer.{}.order_OrderRestocked", 2),
    **dict.fromkeys(PLACES, 4),
}
PAYMENT: Deaths = {
    **_both("rpc.{}.CreatePaymentMethod", 4),
    **_both("rpc.{}.AuthorizePayment", 4),
    **_both("rpc.{}.VoidPayment", 2),
    **_both("processor.{}_authorize", 4),
    **_both("processor.{}_capture", 4),
    **_both("processor.{}_void", 2),
    **_both("processor.{}_refund", 1),
    **_both("consumer.{}.payment_OrderConfirmed", 4),
    **_both("consumer.{}.payment_OrderCancelled", 2),
    **_both("payments.{}_expire", 20),
    "relay.after_publish": 4,
}
INVENTORY: Deaths = {
    **_both("rpc.{}.ReserveStock", 4),
    **_both("rpc.{}.ReleaseStock", 2),
    **_both("rpc.{}.RestockProduct", 1),
    **_both("consumer.{}.inventory_OrderConfirmed", 4),
    **_both("consumer.{}.inventory_OrderCancelled", 2),
    **_both("reservations.{}_expire", 2),
    "relay.after_publish": 4,
}
UNREACHED = {"order_StockCommitFailed", "analytics_ProductChanged"}
"""Consumers of what a crowd does not bring about."""
SAME_PLACE = {
    "saga.before_authorize": "saga.after_reserve",
    "saga.before_confirm": "saga.after_authorize",
    "saga.before_void": "saga.after_turn",
    "saga.before_release": "saga.after_void",
    "saga.before_reject": "saga.after_release",
}
"""Failpoints between which and another one nothing happens."""
CONSUMERS = {each["config"]["name"]: each["service"] for each in DURABLES if each["config"]["name"] not in UNREACHED}
READERS = ("notification", "analytics")
"""Services that only hear. Before they do something about an event nothing has happened that could be lost."""
OTHERS: Mapping[str, Deaths] = {
    "catalog": _both("rpc.{}.BatchGetProducts", 4),
    "identity": _both("rpc.{}.RegisterCustomer", 2),
    **{
        reader: {f"consumer.after.{name}": 1 for name, service in CONSUMERS.items() if service == reader}
        for reader in READERS
    },
}
EACH: Mapping[str, Deaths] = {"order": ORDER, "payment": PAYMENT, "inventory": INVENTORY, **OTHERS}
ALL_AT_ONCE: Mapping[str, Deaths] = {
    "order": {
        "saga.after_reserve": 8,
        "rpc.after.AuthorizePayment": 8,
        "saga.after_confirm": 8,
        "relay.after_publish": 8,
        "processor.after_capture": 6,
        "consumer.after.inventory_OrderConfirmed": 6,
        "saga.after_turn": 3,
    }
}
"""What dies where, one after the other; the processes side by side."""

QUICK = {"MESHMART_ORDER_SAGA_LEASE": "1"}
TOLD: Mapping[str, Mapping[str, str]] = {
    "payments": {"MESHMART_PAYMENT_HOLD": "0.5", "MESHMART_PAYMENT_EXPIRY_INTERVAL": "0.1"},
    "reservations": {"MESHMART_INVENTORY_HOLD": "0.5", "MESHMART_INVENTORY_EXPIRY_INTERVAL": "0.1"},
}
"""What brings expiry about, by the part of the failpoint."""
DIES_WITHIN = 60.0
DIED = re.compile(r"failpoint ([\w.]+): kill at hit")


class Obituary:
    """The deaths of a process since the test began."""

    def __init__(self, shop: Shop, service: str) -> None:
        self._shop, self._service = shop, service
        self._lines, self._restarts = shop.log(service).stat().st_size, shop.restarts(service)

    @property
    def died_at(self) -> Counter[str]:
        """Failpoints, with how often it has logged that it dies there."""
        with self._shop.log(self._service).open("rb") as log:
            log.seek(self._lines)
            return Counter(DIED.findall(log.read().decode()))

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return self._shop.restarts(self._service) - self._restarts


async def _dies(shop: Shop, service: str) -> None:
    """Return once the process that runs now, or is about to, is dead. It is started again a moment later."""
    lives: set[int] = set()

    async def died() -> bool:
        pid = shop.pids().get(shop.part_of(service))
        if pid is not None and not lives:
            lives.add(pid)
        return bool(lives) and pid not in lives

    await eventually(died, expected=True, within=DIES_WITHIN)


def _arm(shop: Shop, service: str, name: str, hit: int) -> None:
    """Have the next life of a process end at a failpoint."""
    told = TOLD.get(name.partition(".")[0], {})
    shop.tell(service, {**QUICK, **told, "MESHMART_FAILPOINTS": f"{name}=kill@{hit}"})


async def _die_in_turn(shop: Shop, service: str, deaths: Deaths) -> None:
    """See a process that is armed for its first death die at one failpoint after the other."""
    _, *others = deaths
    for name, following in zip(deaths, [*others, None], strict=True):
        try:
            await _dies(shop, service)
        except AssertionError as error:
            raise AssertionError(f"{service} does not die at {name}") from error
        if following:
            _arm(shop, service, following, deaths[following])
        else:
            shop.tell(service, {})


@asynccontextmanager
async def _armed(shop: Shop, deaths: Mapping[str, Deaths]) -> AsyncIterator[None]:
    """Start each process anew, so that it will die at its first failpoint; disarm what a failed test leaves."""
    for service, own in deaths.items():
        _arm(shop, service, *next(iter(own.items())))
    await asyncio.gather(*(shop.restart(service) for service in deaths))
    try:
        yield
    except BaseException:
        for service in deaths:
            shop.tell(service, {})
        await asyncio.gather(*(shop.restart(service) for service in deaths))
        raise


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("running", "deaths"),
    [
        pytest.param("separate_shop", EACH, id="each"),
        pytest.param("one_process_shop", ALL_AT_ONCE, id="the whole process"),
    ],
    indirect=["running"],
)
async def test_whatever_dies_at_whichever_boundary_every_order_ends_as_it_must(shop, shopper, deaths):
    product = await shopper.product()
    await shopper.deliver(product, 10_000)
    obituaries = {service: Obituary(shop, service) for service in deaths}
    crowd = Crowd(shop, shopper, product)

    async with _armed(shop, deaths), crowd.shopping():
        await asyncio.gather(*(_die_in_turn(shop, service, own) for service, own in deaths.items()))

    for service, obituary in obituaries.items():
        assert set(obituary.died_at) == set(deaths[service])
        assert obituary.died_at.total() == obituary.restarts
    await crowd.lost_nothing()


def test_every_failpoint_is_died_at():
    around = {f"{part}.{side}_{method}" for part, methods in AROUND.items() for method in methods for side in SIDES}
    after = {f"consumer.after.{name}" for name in CONSUMERS}
    before = {f"consumer.before.{name}" for name, service in CONSUMERS.items() if service not in READERS}
    places = {SAME_PLACE.get(name, name) for name in (*PLACES, *around, *after, *before)}
    assert {name for deaths in EACH.values() for name in deaths} >= places
