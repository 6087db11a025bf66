"""Budgets: how long a call may take here, and how much of that a neighbour gets."""

from services.chassis.refusals import DeadlineExceeded

RESERVE = 0.020
"""Seconds kept back from a neighbour, to answer one's own caller in."""


def inbound(remaining: float | None, timeout: float) -> float:
    """Return the seconds a call may take: what its caller left it, capped by the contract."""
    if remaining is None or remaining > timeout:
        return timeout
    return remaining


def outbound(remaining: float | None, timeout: float) -> float:
    """Return the seconds a neighbour gets: what is left of the call being served, less a reserve, or its timeout."""
    if remaining is None:
        return timeout
    left = remaining - RESERVE
    if left <= 0.0:
        raise DeadlineExceeded("no time is left to call a neighbour")
    return min(left, timeout)
