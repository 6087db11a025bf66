"""What a schedule holds, all of it drawn from its seed: orders, troubles on the way, and faults with their times."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Final

PRODUCTS: Final = 2
CALM_AFTER: Final = 8.0
"""Seconds in which troubles and most faults happen."""
LAPSING: Final = 0.04
"""Part of the schedules in which what is held for an order lapses; these are long."""
LINKS: Final = ("order database", "payment database", "inventory database", "processor", "broker")
POINTS: Final = {
    "order": ("place", "confirm", "turn", "reject", "claim", "cancel", "complete", "refunded", "restocked"),
    "payment": ("authorize", "void", "claim_capture", "captured", "claim_give_back", "given_back"),
    "inventory": ("reserve", "release", "commit", "cancel"),
}
"""Statements of a service that a process may be hit at."""
RACES: Final = (
    ("order", "confirm", ("turn", "void", "release")),
    ("order", "turn", ("turn", "confirm", "cancel")),
    ("order", "reject", ("reject", "claim", "cancel")),
    ("payment", "authorize", ("void", "claim_give_back")),
    ("payment", "captured", ("cancel", "claim_give_back", "expire")),
    ("payment", "given_back", ("claim_capture", "authorize")),
    ("inventory", "reserve", ("release", "cancel")),
    ("inventory", "commit", ("cancel", "expire")),
)
"""Statements of a service, and those that may come first while a process is paused before it."""
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
    """`kill`, `stop`, `pause` or `outage`."""
    target: str
    """A process, a service whose process is hit at a point, or a link."""
    seconds: float
    point: str = ""
    """`before confirm`, `after confirm`: when a process first does that statement, instead of at a time."""
    until: str = ""
    """Statement of any process that wakes a paused one sooner."""
    storm: bool = False
    """Whether many calls are lost meanwhile."""


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
    replicas = {
        "order": random.choice((1, 2, 2, 2)),
        "payment": random.choice((1, 2)),
        "inventory": random.choice((1, 2)),
    }
    stock = tuple(random.choice((1, 3, 6, 9, 9)) for _ in range(PRODUCTS))
    if random.random() < LAPSING:
        return _lapse(random, stock, replicas)
    return Plan(
        weather=_weather(random),
        stock=stock,
        wishes=tuple(_wish(random, random.uniform(0.0, 1.0)) for _ in range(random.choice((1, 1, 1, 2, 3)))),
        replicas=replicas,
        faults=tuple(_faults(random, processes(replicas))),
    )


def _lapse(random: Random, stock: tuple[int, ...], replicas: dict[str, int]) -> Plan:
    """Return the plan of a schedule in which the broker is away until what is held for an order has lapsed.

    Another order comes by then, and may take its units.
    """
    first, second = _wish(random, random.uniform(0.0, 1.0)), _wish(random, random.uniform(31.0, 38.0))
    if random.random() < 0.5:
        stock, second = tuple(max(1, units) for units in first.units), replace(second, units=first.units)
    away = Fault(random.uniform(1.5, 3.0), "outage", "broker", random.uniform(36.0, 45.0))
    faults = (away, *_faults(random, processes(replicas)))
    return Plan(_weather(random), stock, (first, second), replicas, faults)


def processes(replicas: dict[str, int]) -> list[str]:
    """Return the names of all processes."""
    return [f"{service}-{number}" for service, count in replicas.items() for number in range(1, count + 1)]


def _weather(random: Random) -> Weather:
    return Weather(*(random.choice((0.0, 0.0, 0.0, 0.03, 0.15)) for _ in range(4)))


def _wish(random: Random, at: float) -> Wish:
    units = tuple(random.choice((0, 1, 2, 3)) for _ in range(PRODUCTS))
    return Wish(
        at=at,
        units=units if any(units) else (1, *units[1:]),
        card=random.choice(CARDS) if random.random() < 0.2 else "works",
        cancel_after=random.uniform(0.0, 6.0) if random.random() < 0.3 else None,
    )


def _faults(random: Random, names: list[str]) -> Iterator[Fault]:
    """Yield up to three faults at some time, and maybe one at a point, with another while that lasts."""
    for _ in range(random.choice((0, 0, 1, 1, 2, 3))):
        yield _at_a_time(random, names, random.uniform(0.0, CALM_AFTER))
    if random.random() < 0.6:
        yield _at_a_point(random)
        if random.random() < 0.4:
            yield _at_a_time(random, names, random.uniform(2.0, 9.0))


def _at_a_point(random: Random) -> Fault:
    seconds, storm = random.uniform(6.0, 15.0), random.random() < 0.5
    if random.random() < 0.5:
        service, statement, first = random.choice(RACES)
        return Fault(0.0, "pause", service, seconds, f"before {statement}", random.choice(first), storm=storm)
    service = random.choice(("order", "payment", "inventory"))
    point = f"{random.choice(('before', 'after'))} {random.choice(POINTS[service])}"
    return Fault(0.0, random.choice(("kill", "pause")), service, seconds, point, storm=storm)


def _at_a_time(random: Random, names: list[str], at: float) -> Fault:
    kind, seconds = random.choice(("kill", "stop", "pause", "outage", "outage")), random.uniform(0.2, 12.0)
    if kind != "outage":
        return Fault(at, kind, random.choice(names), seconds)
    return Fault(at, kind, random.choice(LINKS), seconds)
