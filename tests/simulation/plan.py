"""What a schedule holds, all of it drawn from its seed: orders, troubles on the way, and faults with their times."""

from dataclasses import dataclass
from random import Random
from typing import Final

PRODUCTS: Final = 2
CALM_AFTER: Final = 8.0
"""Seconds in which troubles and most faults happen."""
LINKS: Final = ("order database", "payment database", "inventory database", "processor", "broker")
POINTS: Final = {
    "order": ("place", "confirm", "turn", "reject", "claim", "cancel", "complete", "refunded", "restocked"),
    "payment": ("authorize", "void", "claim_capture", "captured", "claim_give_back", "given_back"),
    "inventory": ("reserve", "release", "commit", "cancel"),
}
"""Statements of a service that a process may be hit at."""
CARDS: Final = ("declined", "unavailable", "silent", "twice", "uncapturable")


@dataclass(frozen=True, slots=True)
class Weather:
    """How likely each kind of trouble is, wherever something is asked of somebody."""

    refused: float
    """It never arrives."""
    unanswered: float
    """It is done, and the answer is lost."""
    doubled: float
    """It arrives twice."""
    slow: float
    """It takes seconds."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a customer does."""

    at: float
    units: tuple[int, ...]
    """Of each product."""
    card: str
    cancel_after: float | None
    """Seconds from the first try to place it; None for never."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that breaks, and for how long."""

    at: float
    kind: str
    """`kill`, `pause` or `outage`."""
    target: str
    """A process, a service whose process is hit at a point, or a link."""
    seconds: float
    point: str = ""
    """`before confirm`, `after confirm`: when a process first does that statement, instead of at a time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One schedule."""

    weather: Weather
    stock: tuple[int, ...]
    wishes: tuple[Wish, ...]
    replicas: dict[str, int]
    """Processes of each service."""
    faults: tuple[Fault, ...]

    @property
    def calm_at(self) -> float:
        """When the last fault is over, and nothing goes wrong any more."""
        return max([CALM_AFTER, *(fault.seconds + (CALM_AFTER if fault.point else fault.at) for fault in self.faults)])


def draw(random: Random) -> Plan:
    """Return the plan of a schedule. Each has a few kinds of trouble only: all of them would drown one another."""
    replicas = {"order": random.choice((1, 2, 2)), "payment": random.choice((1, 1, 2)), "inventory": 1}
    return Plan(
        weather=_weather(random),
        stock=tuple(random.choice((0, 2, 3, 5, 9)) for _ in range(PRODUCTS)),
        wishes=tuple(_wish(random) for _ in range(random.choice((1, 1, 1, 2, 3)))),
        replicas=replicas,
        faults=tuple(_fault(random, processes(replicas)) for _ in range(random.choice((0, 1, 1, 2, 3)))),
    )


def processes(replicas: dict[str, int]) -> list[str]:
    """Return the names of all processes."""
    return [f"{service}-{number}" for service, count in replicas.items() for number in range(1, count + 1)]


def _weather(random: Random) -> Weather:
    return Weather(*(random.choice((0.0, 0.0, 0.03, 0.12, 0.3)) for _ in range(4)))


def _wish(random: Random) -> Wish:
    units = tuple(random.choice((0, 1, 2, 3)) for _ in range(PRODUCTS))
    return Wish(
        at=random.uniform(0.0, 1.0),
        units=units if any(units) else (1, *units[1:]),
        card=random.choice(CARDS) if random.random() < 0.3 else "works",
        cancel_after=random.uniform(0.0, 5.0) if random.random() < 0.4 else None,
    )


def _fault(random: Random, names: list[str]) -> Fault:
    kind = random.choice(("kill", "pause", "outage"))
    seconds = random.uniform(0.2, 12.0)
    if kind == "outage":
        return _outage(random, seconds)
    if random.random() < 0.5:
        return Fault(random.uniform(0.0, 4.0), kind, random.choice(names), seconds)
    service = random.choice(("order", "order", "payment", "inventory"))
    point = f"{random.choice(('before', 'after'))} {random.choice(POINTS[service])}"
    return Fault(0.0, kind, service, seconds, point)


def _outage(random: Random, seconds: float) -> Fault:
    target = random.choice(LINKS)
    if target == "broker" and random.random() < 0.3:
        seconds = random.uniform(15.0, 45.0)  # so long that what is held for an order lapses
    return Fault(random.uniform(0.0, 4.0), "outage", target, seconds)
