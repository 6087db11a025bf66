"""Money in minor units of one currency, so that sums are exact."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Money:
    """An amount: `Money("EUR", 1999)` is 19.99 EUR."""

    currency_code: str
    minor_units: int

    def __add__(self, other: "Money") -> "Money":
        """Add an amount of the same currency. Raises ValueError for another."""
        if other.currency_code != self.currency_code:
            raise ValueError(f"cannot add {other.currency_code} to {self.currency_code}")
        return Money(self.currency_code, self.minor_units + other.minor_units)

    def __mul__(self, quantity: int) -> "Money":
        """Multiply by a number of units."""
        return Money(self.currency_code, self.minor_units * quantity)
