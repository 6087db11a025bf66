"""What runs beside the calls ends when the process does."""

import asyncio

from services.chassis import background


async def test_a_task_that_drops_a_cancellation_ends_all_the_same(monkeypatch):
    monkeypatch.setattr(background, "CANCEL_AGAIN", 0.01)
    cancelled: list[int] = []

    async def stubborn() -> None:
        while len(cancelled) < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(1)
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await background.end(task)

    assert task.cancelled()
    assert len(cancelled) == 3


async def test_a_task_that_has_ended_is_left_alone():
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    await background.end(task)

    assert not task.cancelled()


async def test_what_a_task_still_owes_is_done_however_often_it_is_cancelled():
    release, owed = asyncio.Event(), []

    async def give_back() -> None:
        await release.wait()
        owed.append("given back")

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await background.to_its_end(give_back())

    task = asyncio.create_task(work())
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    release.set()
    await asyncio.wait({task})

    assert owed == ["given back"]
