"""The stops of the tour. Each does something with the running shop and says what it saw; a wrong turn is a TourError."""

import asyncio
import time
from typing import Any
from uuid import uuid4

from scripts.local_run.supervisor import Shop
from scripts.tour.customer import DECLINES, WORKS, Customer, require
from scripts.tour.operations import PATIENCE, Operator
from scripts.tour.screen import Screen
from scripts.tour.trail import trail_of
from services.audit.cli import audit

UNDECIDED = ("PENDING", "CONFIRMED")
"""States that an order of a customer who does not cancel leaves by itself."""
RECOVERY = 30.0
"""Seconds within which a killed service and its orders must be well again."""


class Tour:
    """A visit to the shop."""

    def __init__(self, shop: Shop, screen: Screen, customer: Customer, began: float) -> None:
        """Keep the shop, where to show it, who visits, and when the shop began to start (`time.perf_counter`)."""
        self._shop, self._screen, self._customer, self._began = shop, screen, customer, began
        self._product: dict[str, Any] = {}
        self._method_id = ""
        self._bought, self._unheard = "", ""
        self._operator = Operator(shop, customer)

    async def run(self) -> None:
        """Make every stop. Whatever happens, notification is left whole."""
        await self._operator.find_the_table()
        try:
            await self._stops()
        finally:
            await self._operator.find_the_table()

    async def _stops(self) -> None:
        await self._enter()
        await self._buy_by_rest()
        await self._buy_by_grpc()
        await self._repeat()
        await self._be_declined()
        await self._survive_a_kill()
        await self._break_notification()
        await self._follow_the_trail()
        await self._rebuild_the_figures()
        await self._redrive()
        self._audit()

    async def _enter(self) -> None:
        with self._screen.step("A customer registers, signs in and looks for a teapot"):
            await self._customer.sign_in()
            self._product = await self._customer.product("teapot")
            self._method_id = await self._customer.payment_method(WORKS)
            self._screen.detail("product", f"{self._product['displayName']}, {_price(self._product)}")

    async def _buy_by_rest(self) -> None:
        with self._screen.step("Buys over REST: POST /v1/orders"):
            placed = await self._customer.place(self._product, self._method_id)
            decided = await self._customer.decided(placed["id"])
            _require_state(decided, "CONFIRMED", "COMPLETED")
            self._bought = placed["id"]
            self._screen.detail("order", placed["id"])
            self._screen.detail("state", f"{_state(placed)} -> {_state(decided)}")
            self._screen.detail("first order", f"{time.perf_counter() - self._began:.1f} s after the start")

    async def _buy_by_grpc(self) -> None:
        with self._screen.step("Buys over gRPC on the same port, and watches the stream"):
            placed = await self._customer.place_by_grpc(self._product, self._method_id)
            states = [state async for state in self._customer.watch_by_grpc(placed.id)]
            require(states[-1] == "COMPLETED", f"the stream ended with {states}")
            self._screen.detail("order", placed.id)
            self._screen.detail("stream", " -> ".join(states))

    async def _repeat(self) -> None:
        with self._screen.step("Sends one request five times at once: one order"):
            request_id = str(uuid4())
            places = (self._customer.place(self._product, self._method_id, request_id) for _ in range(5))
            ids = {order["id"] for order in await asyncio.gather(*places)}
            require(len(ids) == 1, f"{len(ids)} orders were made")
            self._screen.detail("answers", f"5, all of order {ids.pop()}")

    async def _be_declined(self) -> None:
        with self._screen.step("Pays with a card that is declined: the saga gives everything back"):
            await self._settled()
            before = await self._customer.available(self._product)
            placed = await self._customer.place(self._product, await self._customer.payment_method(DECLINES))
            rejected = await self._customer.decided(placed["id"])
            after = await self._customer.available(self._product)
            _require_state(rejected, "REJECTED")
            require(before == after, f"{before} units before, {after} after")
            self._screen.detail("state", f"{_state(placed)} -> {_state(rejected)}, {rejected['reason']}")
            self._screen.detail("stock", f"{before} available before, {after} after")

    async def _settled(self) -> None:
        """Wait until the repeated order is through, so that it does not change the stock meanwhile."""
        for order in await self._customer.orders():
            await self._customer.decided(order["id"])

    async def _survive_a_kill(self) -> None:
        whole = self._shop.ports.one_process
        name = "the whole process" if whole else "payment"
        with self._screen.step(f"Orders while {name} is killed (SIGKILL): no order is lost"):
            if whole:
                order_id = await self._kill_after_placing()
            else:
                order_id = await self._kill_before_placing()
            began = time.monotonic()
            decided = await self._patiently(order_id)
            _require_state(decided, "CONFIRMED", "COMPLETED")
            self._screen.detail("state", f"PENDING -> {_state(decided)} in {time.monotonic() - began:.1f} s")

    async def _kill_before_placing(self) -> str:
        await self._shop.kill("payment", hold=True)
        placed = await self._customer.place(self._product, self._method_id)
        self._screen.detail("payment", "is dead; the order is taken all the same")
        await self._shop.restart("payment")
        self._screen.detail("payment", "is started again")
        return str(placed["id"])

    async def _kill_after_placing(self) -> str:
        placed = await self._customer.place(self._product, self._method_id)
        await self._shop.kill("order")
        self._screen.detail("process", "killed right after it took the order, and started again")
        async with asyncio.timeout(RECOVERY):
            await self._shop.ready("order")
        return str(placed["id"])

    async def _patiently(self, order_id: str) -> dict[str, Any]:
        """Ask for an order until it is decided; a service that is just back may refuse a call or two."""
        async with asyncio.timeout(RECOVERY):
            while True:
                order = await self._customer.decided(order_id, wait="2s")
                if _state(order) != "PENDING":
                    return order

    async def _follow_the_trail(self) -> None:
        with self._screen.step("The event trail of the first order"):
            marks = await asyncio.to_thread(trail_of, self._shop, self._bought)
            require(any(mark.event == "PaymentCaptured" for mark in marks), "the payment was not captured")
            for mark in marks:
                since = (mark.time - marks[0].time).total_seconds() * 1000
                self._screen.detail(mark.service, f"{mark.what:<10}{mark.event:<24}{since:+8.1f} ms")

    async def _break_notification(self) -> None:
        with self._screen.step("Loses a table of notification, and buys: an event that cannot be handled"):
            await self._operator.lose_a_table()
            placed = await self._customer.place(self._product, self._method_id)
            decided = await self._customer.decided(placed["id"])
            _require_state(decided, "CONFIRMED", "COMPLETED")
            self._unheard = placed["id"]
            self._screen.detail("order", f"{self._unheard} is {_state(decided)} all the same")

    async def _rebuild_the_figures(self) -> None:
        with self._screen.step("Rebuilds analytics from all events, while it goes on answering"):
            await self._completed()
            before = await self._operator.sales()
            said = await self._operator.replay_analytics()
            after = await self._operator.sales()
            require(before["sales"] == after["sales"], f"{before} before, {after} after")
            self._screen.detail("before", _figures(before))
            self._screen.detail("replay", said)
            self._screen.detail("after", _figures(after))

    async def _completed(self) -> None:
        """Wait until every order is paid or rejected, so that the figures stand still."""
        async with asyncio.timeout(PATIENCE):
            while any(_state(each) in UNDECIDED for each in await self._customer.orders()):  # noqa: ASYNC110  # over REST
                await asyncio.sleep(0.05)

    async def _redrive(self) -> None:
        with self._screen.step("Finds the parked event, mends notification, gives the event back"):
            letter = await self._operator.dead_letter_of(self._unheard)
            self._screen.detail("dead letter", f"{letter['id']} {letter['event']}, {letter['attempts']} attempts")
            self._screen.detail("error", letter["error"])
            await self._operator.find_the_table()
            await self._operator.redrive_all()
            async with asyncio.timeout(PATIENCE):
                while not (told := await self._customer.told_of(self._unheard)):  # noqa: ASYNC110  # another process works
                    await asyncio.sleep(0.05)
            require(told == ["ORDER_CONFIRMED"], f"the customer was told {told}")
            self._screen.detail("customer", f"is told: {told[0]}, once")

    def _audit(self) -> None:
        with self._screen.step("Audits the invariants across the databases"):
            report = audit([self._shop.database_url(name) for name in ("order", "payment", "inventory")])
            require(not report.findings, f"{list(report.findings.values())}")
            self._screen.detail("orders", f"{report.orders}, all invariants hold")


def _state(order: dict[str, Any]) -> str:
    return str(order["state"]).removeprefix("STATE_")


def _require_state(order: dict[str, Any], *states: str) -> None:
    require(_state(order) in states, f"order {order['id']} is {_state(order)} {order.get('reason', '')}")


def _figures(answer: dict[str, Any]) -> str:
    sales, generation = answer.get("sales", []), answer["freshness"]["generation"]
    units = sum(int(each.get("units", 0)) for each in sales)
    revenue = sum(int(each["revenue"]["minorUnits"]) for each in sales)
    return f"generation {generation}: {len(sales)} products, {units} units, {revenue / 100:.2f} {_currency(sales)}"


def _currency(sales: list[dict[str, Any]]) -> str:
    return str(sales[0]["revenue"]["currencyCode"]) if sales else ""


def _price(product: dict[str, Any]) -> str:
    price = product["price"]
    return f"{int(price['minorUnits']) / 100:.2f} {price['currencyCode']}"
