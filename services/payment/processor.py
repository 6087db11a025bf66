"""A simulated card processor. What a card does is decided by its number, so that every path can be shown.

| number              | what it does                                                        |
|---------------------|---------------------------------------------------------------------|
| 4000 0000 0000 0002 | is declined                                                         |
| 4000 0000 0000 9995 | is declined, for insufficient funds                                 |
| 4000 0000 0000 0259 | never answers an authorization                                      |
| 4000 0000 0000 0119 | finds the processor unavailable                                     |
| 4000 0000 0000 3220 | answers everything twice                                            |
| 4000 0000 0000 0341 | is authorized, and declined when the amount is to be captured       |
| any other valid one | works, for example 4242 4242 4242 4242                              |
"""

import asyncio
import hashlib
import secrets
from collections.abc import Sequence

from services.chassis.money import Money
from services.payment.domain import Card, CardDeclined, ProcessorUnavailable

BEHAVIOURS = {
    "4000000000000002": "declined",
    "4000000000009995": "insufficient",
    "4000000000000259": "silent",
    "4000000000000119": "unavailable",
    "4000000000003220": "twice",
    "4000000000000341": "uncapturable",
}
SILENCE = 60.0
"""Seconds that the silent card keeps a caller waiting; longer than any deadline of the contract."""


class SimulatedProcessor:
    """Remembers nothing: the token carries the behaviour, and a code follows from operation and reference."""

    async def tokenize(self, card: Card) -> str:
        """Return a token that carries the card's behaviour and nothing else of it."""
        return f"sim_{BEHAVIOURS.get(card.number, 'works')}_{secrets.token_hex(8)}"

    async def authorize(self, token: str, reference: str, amount: Money) -> Sequence[str]:
        """Hold an amount, unless the card declines, is silent or the processor is away."""
        behaviour = _behaviour(token)
        if behaviour == "silent":
            await asyncio.sleep(SILENCE)
        if behaviour == "unavailable":
            raise ProcessorUnavailable("the processor is away")
        if behaviour in ("declined", "insufficient"):
            raise CardDeclined("the card's issuer declined", metadata={"decline_code": behaviour})
        return _answers(behaviour, "authorize", reference)

    async def capture(self, token: str, reference: str, amount: Money) -> Sequence[str]:
        """Take an amount, unless the card only ever authorizes."""
        behaviour = _behaviour(token)
        if behaviour == "uncapturable":
            raise CardDeclined("the card's issuer declined the capture", metadata={"decline_code": behaviour})
        return _answers(behaviour, "capture", reference)

    async def void(self, reference: str) -> None:
        """Give up a hold; nothing to do here."""

    async def refund(self, token: str, reference: str, amount: Money) -> Sequence[str]:
        """Give an amount back."""
        return _answers(_behaviour(token), "refund", reference)


def _behaviour(token: str) -> str:
    return token.split("_")[1]


def _answers(behaviour: str, operation: str, reference: str) -> Sequence[str]:
    code = hashlib.sha256(f"{operation} {reference}".encode()).hexdigest()[:16]
    return [code, code] if behaviour == "twice" else [code]
