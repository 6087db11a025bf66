"""The services of the shop with their settings, scaled so that an hour of waiting is half a minute."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import psycopg
from pydantic import SecretStr

import services.inventory.service
import services.order.service
import services.payment.service
from services.chassis.runtime import Runtime
from services.chassis.service import Components
from services.chassis.settings import ServiceSettings
from services.payment.domain import Processor
from tests.simulation.links import Chance, Link
from tests.simulation.loop import Scheduler
from tests.simulation.process import Kind, Store
from tests.simulation.relay import Lock
from tests.simulation.tables import inventory, order, payment
from tests.simulation.tables.chassis import Statement

HOLD: Final = 30.0
"""Seconds that units and amounts are held: more than twice what a confirmation may take, as in the shop."""
MODULES: Final[Mapping[str, Any]] = {
    "order": services.order.service,
    "payment": services.payment.service,
    "inventory": services.inventory.service,
}
TABLES: Final[Mapping[str, Any]] = {"order": order, "payment": payment, "inventory": inventory}
_SETTINGS: Final[Mapping[str, Mapping[str, float]]] = {
    "order": {"saga_lease": 5.0, "saga_patience": 4.0, "confirm_within": 12.0},
    "payment": {"hold": HOLD},
    "inventory": {"hold": HOLD},
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """The shop with something broken on purpose, which the simulation must find."""

    name: str
    statements: Mapping[str, Mapping[str, Statement]] = field(default_factory=dict)
    """Statements of a service that work otherwise."""
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Classes that a service is built of instead of those its declaration names."""
    tables: Mapping[str, Any] = field(default_factory=dict)
    """Tables of a service that work otherwise."""


SOUND: Final = Mutant("nothing is broken")


@cache
def settings_of(service: str) -> ServiceSettings:
    """Return the settings of a service."""
    own: Any = MODULES[service].SERVICE.settings
    settings: ServiceSettings = own(
        database_url=SecretStr("none"), nats_password=SecretStr("none"), **_SETTINGS[service]
    )
    return settings


def kind_of(
    service: str, scheduler: Scheduler, chance: Chance, mutant: Mutant, processor: Callable[[], Processor]
) -> Kind:
    """Return what all processes of a service have in common, with an empty database."""

    def now() -> float:
        return scheduler.now

    statements = dict(TABLES[service].STATEMENTS)
    for sql, statement in mutant.statements.get(service, {}).items():
        statement.__name__ = statements[sql].__name__  # what traces and faults know it by
        statements[sql] = statement
    tables = mutant.tables.get(service, TABLES[service].Tables)(now)
    if service == "inventory":
        tables.clashes = chance.refused
    link = Link(scheduler, chance, lambda: psycopg.OperationalError("the connection is lost"))
    store = Store(tables, statements, link, Lock(now))
    parts = dict(mutant.parts.get(service, {}))
    if service == "payment":
        parts["SimulatedProcessor"] = processor
    return Kind(MODULES[service].SERVICE, settings_of(service), store, lambda runtime: _build(service, runtime, parts))


def _build(service: str, runtime: Runtime, parts: Mapping[str, Any]) -> Components:
    """Build a service as its declaration does, with some of its parts replaced."""
    module = MODULES[service]
    kept = {name: getattr(module, name) for name in parts}
    try:
        for name, part in parts.items():
            setattr(module, name, part)
        built: Components = module.SERVICE.build(runtime)
    finally:
        for name, part in kept.items():
            setattr(module, name, part)
    return built
