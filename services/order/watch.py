"""The stream of an order's changes."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

from meshmart.order.v1 import order_service_pb2 as pb

from services.chassis.changes import Changes
from services.order import messages
from services.order.domain import Order, ResumeTokenInvalid

PREFIX = "v"


def token_of(version: int) -> str:
    """Return the resume token of a version."""
    return f"{PREFIX}{version}"


def version_of(token: str) -> int:
    """Return the version that a resume token stands for, 0 for none. Raises ResumeTokenInvalid."""
    if not token:
        return 0
    digits = token.removeprefix(PREFIX)
    if digits == token or not (digits.isascii() and digits.isdecimal()):
        raise _invalid()
    return int(digits)


def _invalid() -> ResumeTokenInvalid:
    return ResumeTokenInvalid(
        "the resume token is not one of WatchOrder for this order", fields={"resume_token": "is not valid"}
    )


async def watch(  # noqa: PLR0913  # a stream has this much to watch
    read: Callable[[], Awaitable[Order]],
    changes: Changes,
    order_id: UUID,
    *,
    resume_token: str,
    until: float,
    draining: asyncio.Event,
) -> AsyncIterator[pb.WatchOrderResponse]:
    """Yield each change after the token, until the last state, `until` (monotonic) or draining."""
    seen = version_of(resume_token)
    with changes.subscribe(order_id) as subscription:
        while True:
            order = await read()
            if seen > order.version:
                raise _invalid()
            for change in order.changes:
                if change.version > seen:
                    seen = change.version
                    yield messages.change(
                        change, token_of(seen), last=change.state.last and change is order.changes[-1]
                    )
            if order.state.last:
                return
            if draining.is_set() or time.monotonic() >= until:
                yield messages.resume(order, token_of(seen))
                return
            await subscription.wait()
