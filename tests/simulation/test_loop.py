"""Virtual time: what is simulated waits for nothing, and processes can be paused and killed at any moment."""

import asyncio
import time
from random import Random

from tests.simulation.loop import Loop, Scheduler


class Machine:
    """A scheduler, and processes that write down what they do."""

    def __init__(self, seed: int = 0) -> None:
        self.scheduler = Scheduler(Random(seed))  # noqa: S311  # not a secret
        self.seen: list[str] = []
        self.errors: list[BaseException] = []

    def process(self) -> Loop:
        return Loop(self.scheduler, self.errors.append)

    async def wait(self, name: str, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
            self.seen.append(name)
        finally:
            self.seen.append(f"{name} tidied up")

    def run(self, seconds: float) -> None:
        self.scheduler.run_until(lambda: False, seconds)


def test_an_hour_passes_at_once():
    machine, began = Machine(), time.monotonic()
    machine.process().create_task(machine.wait("waited", 3600))

    machine.run(3600)

    assert machine.seen == ["waited", "waited tidied up"]
    assert machine.scheduler.now == 3600
    assert time.monotonic() - began < 60


def test_time_outs_are_virtual_too():
    machine = Machine()

    async def give_up() -> None:
        try:
            async with asyncio.timeout(5):
                await asyncio.sleep(3600)
        except TimeoutError:
            machine.seen.append(f"given up at {machine.scheduler.now}")

    machine.process().create_task(give_up())
    machine.run(10)

    assert machine.seen == ["given up at 5.0"]


def test_a_paused_process_goes_on_late():
    machine = Machine()
    loop = machine.process()
    loop.create_task(machine.wait("late", 1))
    machine.run(0.5)

    loop.pause()
    machine.run(10)
    while_paused = list(machine.seen)
    loop.wake()
    machine.run(10)

    assert while_paused == []
    assert machine.seen == ["late", "late tidied up"]


def test_a_killed_process_does_not_even_tidy_up():
    machine = Machine()
    loop = machine.process()
    loop.create_task(machine.wait("never", 1))
    machine.run(0.5)

    loop.kill()
    machine.run(10)

    assert machine.seen == []
    loop.bury()


def test_what_is_ready_at_the_same_moment_runs_in_an_order_of_the_seed():
    def order(seed: int) -> list[str]:
        machine = Machine(seed)
        for name in "abcdef":
            machine.process().create_task(machine.wait(name, 1))
        machine.run(2)
        return machine.seen

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_an_exception_that_nobody_catches_is_told():
    machine = Machine()
    machine.process().call_soon(lambda: 1 / 0)

    machine.run(1)

    assert [type(error) for error in machine.errors] == [ZeroDivisionError]
