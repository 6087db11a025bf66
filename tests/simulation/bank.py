"""The card processor: it remembers what it holds and took under each reference, which is what is counted."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.chassis.money import Money
from services.payment.domain import Card, CardDeclined, ProcessorUnavailable
from tests.simulation.links import Link
from tests.simulation.trace import Trace


@dataclass(slots=True)
class Account:
    """What became of the money under one reference. Amounts are in minor units."""

    held_until: float = 0.0
    captured: int = 0
    captures: int = 0
    given_back: int = 0
    closed: bool = False
    """Voided: what comes late is declined."""


class Bank:
    """The one processor. A card's token says what it does."""

    def __init__(self, now: Callable[[], float], hold: float) -> None:
        """Hold amounts for some seconds."""
        self._now, self._hold = now, hold
        self.accounts: defaultdict[str, Account] = defaultdict(Account)

    def authorize(self, token: str, reference: str) -> None:
        """Hold an amount."""
        if token == "declined" or self.accounts[reference].closed:
            raise CardDeclined("the card's issuer declined")
        self.accounts[reference].held_until = self._now() + self._hold

    def capture(self, token: str, reference: str, amount: int) -> None:
        """Take an amount that is held, once."""
        account = self.accounts[reference]
        if account.closed or token == "uncapturable":
            raise CardDeclined("the card's issuer declined the capture")
        if account.captured:
            return
        if account.held_until < self._now():
            raise CardDeclined("the amount is not held any more")
        account.captured += amount
        account.captures += 1

    def void(self, reference: str) -> None:
        """Give up what is held, give back what was taken, and decline what comes late."""
        account = self.accounts[reference]
        account.closed, account.held_until = True, 0.0
        account.given_back = account.captured

    def refund(self, reference: str) -> None:
        """Give back what was taken."""
        self.accounts[reference].given_back = self.accounts[reference].captured


class Teller:
    """A process's way to the bank: what the service knows as its `Processor`."""

    def __init__(self, bank: Bank, link: Link, trace: Trace) -> None:
        """Keep the bank and how to get there."""
        self._bank, self._link, self._trace = bank, link, trace

    async def tokenize(self, card: Card) -> str:
        """Nobody asks: customers have their cards."""
        raise NotImplementedError

    async def authorize(self, token: str, reference: str, amount: Money) -> Sequence[str]:
        """Hold an amount."""
        if token == "unavailable":
            raise ProcessorUnavailable("the processor is away")
        if token == "silent":
            await asyncio.sleep(60)
        await self._ask("authorizes", reference, lambda: self._bank.authorize(token, reference))
        return _answers(token)

    async def capture(self, token: str, reference: str, amount: Money) -> Sequence[str]:
        """Take an amount."""
        await self._ask("captures", reference, lambda: self._bank.capture(token, reference, amount.minor_units))
        return _answers(token)

    async def void(self, reference: str) -> None:
        """Give up a hold."""
        await self._ask("voids", reference, lambda: self._bank.void(reference))

    async def refund(self, token: str, reference: str, amount: Money) -> Sequence[str]:
        """Give an amount back."""
        await self._ask("refunds", reference, lambda: self._bank.refund(reference))
        return _answers(token)

    async def _ask(self, what: str, reference: str, act: Callable[[], None]) -> None:
        def told() -> None:
            try:
                act()
            except CardDeclined as error:
                self._trace.say("processor", "{}: {}", reference, error)
                raise
            self._trace.say("processor", "{} {}", what, reference)

        await self._link.ask(told)


def _answers(token: str) -> Sequence[str]:
    return ["code", "code"] if token == "twice" else ["code"]
