"""Handles many events in one statement: while one runs, those that arrive gather, and are the next batch.

A batch that fails is handled one by one, so that what can never succeed holds nobody else up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

from google.protobuf.message import Message

from services.chassis.delivery import Delivery
from services.chassis.retries import is_outage
from services.chassis.service import Consumer
from services.chassis.tracing import outgoing

E = TypeVar("E", bound=Message)

LIMIT: Final = 500
"""Most events of one batch."""


@dataclass(frozen=True, slots=True)
class Batch(Generic[E]):
    """Events of one consumer, those of one aggregate in their order."""

    deliveries: Sequence[Delivery[E]]
    consumer: str
    generation: int | None = None
    """The generation of a read model to write to; None: those that live events are written to."""

    def inbox_parameters(self) -> dict[str, Any]:
        """Return the parameters of `generations.HEARD`."""
        return {
            "inbox_consumer": self.consumer,
            "inbox_generation": self.generation,
            "inbox_event_ids": [delivery.event_id for delivery in self.deliveries],
        }


BatchHandler = Callable[[Batch[E]], Awaitable[None]]
"""Writes the effect of a batch and its inbox rows in one transaction."""


def batched(event: type[E], apply: BatchHandler[E]) -> Consumer[E]:
    """Return a consumer whose events are handled in batches."""
    return Consumer(event, Gathered(apply).handle, in_hand=LIMIT)


class _Waiting(NamedTuple, Generic[E]):
    delivery: Delivery[E]
    traceparent: str
    done: asyncio.Future[None]


class Gathered(Generic[E]):
    """Makes a handler of single events from one of batches."""

    def __init__(self, apply: BatchHandler[E], limit: int = LIMIT) -> None:
        """Hand at most `limit` events over at once."""
        self._apply, self._limit = apply, limit
        self._waiting: list[_Waiting[E]] = []
        self._worker: asyncio.Task[None] | None = None

    async def handle(self, delivery: Delivery[E]) -> None:
        """Return once the batch that the event came into is written. Raises what the event alone fails with."""
        waiting = _Waiting(delivery, outgoing(), asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._worker is None:
            # In a context of its own: the events of a batch belong to different traces.
            self._worker = asyncio.create_task(self._work(), name="batch", context=Context())
        await waiting.done

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
                await self._write([waiting for waiting in batch if not waiting.done.done()])
        finally:
            self._worker = None

    async def _write(self, batch: Sequence[_Waiting[E]]) -> None:
        if not batch:
            return
        deliveries = [waiting.delivery for waiting in batch]
        tracing, traceparents = deliveries[0].tracing, [waiting.traceparent for waiting in batch]
        try:
            with tracing.linked(f"write {deliveries[0].consumer}", traceparents):
                await self._apply(Batch(deliveries, deliveries[0].consumer))
        except Exception as error:  # noqa: BLE001  # whatever it is, the consumer must hear of it
            await self._after_failure(batch, error)
        else:
            for waiting in batch:
                _settle(waiting, None)

    async def _after_failure(self, batch: Sequence[_Waiting[E]], error: Exception) -> None:
        """Try each event by itself, unless none can succeed now."""
        if len(batch) > 1 and not is_outage(error):
            for waiting in batch:
                await self._write([waiting])
            return
        for waiting in batch:
            _settle(waiting, error)


def _settle(waiting: _Waiting[E], error: Exception | None) -> None:
    if waiting.done.done():  # the consumer gave up waiting
        return
    if error is None:
        waiting.done.set_result(None)
    else:
        waiting.done.set_exception(error)
