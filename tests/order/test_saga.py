"""The saga's steps, refusals and unknown outcomes, against hand-written neighbours."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from services.chassis.ids import new_id
from services.chassis.money import Money
from services.order.domain import Change, Line, Order, State, StepFailed, StepRefused
from services.order.saga import CONFIRMATION_LATE, OrderSaga
from services.order.store import Saga, saga_of

UNAVAILABLE = StepFailed("UNAVAILABLE", timed_out=False)
TIMED_OUT = StepFailed("DEADLINE_EXCEEDED", timed_out=True)
DECLINED = StepRefused("CARD_DECLINED")
SOLD_OUT = StepRefused("STOCK_INSUFFICIENT")


class World:
    """Neighbours, log and patience in one, that write down what happens."""

    def __init__(self, **failures: list[Exception]) -> None:
        self.seen: list[str] = []
        self._failures: dict[str, Iterator[Exception]] = {step: iter(errors) for step, errors in failures.items()}
        self.confirmable = True
        self.held = True
        self.tries = 3
        self.gate: asyncio.Event | None = None
        self.reached = asyncio.Event()

    async def _step(self, name: str) -> None:
        self.seen.append(name)
        self.reached.set()
        if self.gate:
            await self.gate.wait()
        failure = next(self._failures.get(name, iter(())), None)
        if failure:
            raise failure

    async def reserve(self, order):
        await self._step("reserve")

    async def release(self, order):
        await self._step("release")

    async def authorize(self, order):
        await self._step("authorize")

    async def void(self, order):
        await self._step("void")

    async def confirm(self, saga):
        self.seen.append("confirm")
        return self.held and self.confirmable

    async def turn(self, saga, reason):
        self.seen.append(f"turn {reason}")
        return Saga(saga.order, saga.version + 1, compensating=True, reason=reason) if self.held else None

    async def reject(self, saga):
        self.seen.append(f"reject {saga.reason}")
        return self.held

    async def pause(self, attempt):
        return attempt < self.tries

    async def rest(self, attempt):
        pass


def an_order() -> Order:
    line = Line(new_id(), "Tea", 1, Money("EUR", 450))
    placed = Change(1, State.PENDING, "", datetime.now(UTC))
    return Order(new_id(), new_id(), new_id(), (line,), line.unit_price, (placed,))


async def run(world: World, saga: Saga | None = None) -> list[str]:
    await OrderSaga(world, world, world, world).run(saga or saga_of(an_order()), lambda turned: None)
    return world.seen


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        pytest.param({}, ["reserve", "authorize", "confirm"], id="all goes well"),
        pytest.param(
            {"reserve": [SOLD_OUT]},
            ["reserve", "turn STOCK_INSUFFICIENT", "void", "release", "reject STOCK_INSUFFICIENT"],
            id="stock is refused",
        ),
        pytest.param(
            {"authorize": [DECLINED]},
            ["reserve", "authorize", "turn CARD_DECLINED", "void", "release", "reject CARD_DECLINED"],
            id="the card is declined",
        ),
        pytest.param(
            {"authorize": [TIMED_OUT]},
            ["reserve", "authorize", "turn DEADLINE_EXCEEDED", "void", "release", "reject DEADLINE_EXCEEDED"],
            id="a time-out is an unknown outcome and is compensated at once",
        ),
        pytest.param(
            {"authorize": [UNAVAILABLE, UNAVAILABLE]},
            ["reserve", "authorize", "authorize", "authorize", "confirm"],
            id="a neighbour that is away is asked again",
        ),
        pytest.param(
            {"reserve": [UNAVAILABLE] * 3},
            ["reserve"] * 3 + ["turn UNAVAILABLE", "void", "release", "reject UNAVAILABLE"],
            id="a neighbour that stays away is given up",
        ),
        pytest.param(
            {"authorize": [DECLINED], "void": [UNAVAILABLE, TIMED_OUT], "release": [UNAVAILABLE]},
            ["reserve", "authorize", "turn CARD_DECLINED", *["void"] * 3, *["release"] * 2, "reject CARD_DECLINED"],
            id="a compensation is tried until it is answered",
        ),
    ],
)
async def test_the_saga_runs_when(failures, expected):
    assert await run(World(**failures)) == expected


async def test_a_confirmation_that_comes_too_late_is_compensated():
    world = World()
    world.confirmable = False

    assert await run(world) == [
        *["reserve", "authorize", "confirm"],
        f"turn {CONFIRMATION_LATE}",
        *["void", "release"],
        f"reject {CONFIRMATION_LATE}",
    ]


async def test_a_process_that_lost_the_saga_compensates_nothing():
    world = World(authorize=[DECLINED])
    world.held = False

    assert await run(world) == ["reserve", "authorize", "turn CARD_DECLINED"]


async def test_a_saga_taken_over_while_compensating_never_goes_forward():
    taken_over = Saga(an_order(), 3, compensating=True, reason="CARD_DECLINED")

    assert await run(World(), taken_over) == ["void", "release", "reject CARD_DECLINED"]


async def test_no_more_steps_are_asked_of_neighbours_at_once_than_allowed():
    world, gate = World(), asyncio.Event()
    world.gate = gate
    saga = OrderSaga(world, world, world, world, steps_at_once=2)
    running = [asyncio.create_task(saga.run(saga_of(an_order()), lambda turned: None)) for _ in range(5)]

    await world.reached.wait()
    for _ in range(10):
        await asyncio.sleep(0)

    assert world.seen == ["reserve"] * 2
    gate.set()
    await asyncio.gather(*running)
    assert world.seen.count("confirm") == 5
