"""What has the same key runs one after the other, whatever becomes of it."""

import asyncio

from services.chassis.keyed import KeyedRunner


async def test_work_that_fails_does_not_take_the_rest_of_its_key_with_it(caplog):
    runner, done = KeyedRunner(), []

    async def fail() -> None:
        await asyncio.sleep(0)
        raise RuntimeError("a bug")

    async def work() -> None:
        done.append("second")

    runner.submit("a", fail)
    runner.submit("a", work)
    await runner.finish(5)

    assert done == ["second"]
    assert "work failed" in caplog.text
