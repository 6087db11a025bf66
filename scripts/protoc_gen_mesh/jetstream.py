"""Names and configurations of streams and durables, in the form of the JetStream API."""

from dataclasses import dataclass
from typing import Any, Final

from scripts.protoc_gen_mesh.model import Contract, Event

Config = dict[str, Any]

_NANOSECONDS: Final = 1_000_000_000
_DUPLICATE_WINDOW: Final = 120 * _NANOSECONDS
_ACK_WAIT: Final = 5 * _NANOSECONDS


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Where the events lie that one service could not handle."""

    service: str
    root: str

    @property
    def stream(self) -> str:
        """The stream, `meshmart_dead_payment`: the service makes it and is the only one to write what is parked."""
        return "_".join(self._parts("dead"))

    @property
    def parked(self) -> str:
        """Subject of parked events, without the event's name."""
        return ".".join(self._parts("dead"))

    @property
    def redriven(self) -> str:
        """Subject of events that an operator gave back, without the event's name."""
        return ".".join(self._parts("redriven"))

    @property
    def durable(self) -> str:
        """The durable through which the service hears what was given back."""
        return f"{self.service}_redriven"

    def stream_config(self) -> Config:
        """Return the stream's configuration."""
        return stream_config(self.stream, f"{self.parked}.*", f"{self.redriven}.*")

    def durable_config(self) -> Config:
        """Return the durable's configuration."""
        return durable_config(self.durable, f"{self.redriven}.*")

    def _parts(self, purpose: str) -> list[str]:
        return [part for part in (self.root, purpose, self.service) if part]


def dead_letters(contract: Contract) -> list[DeadLetters]:
    """Return the dead letters of each service that hears of events."""
    return [DeadLetters(name, contract.root) for name in contract.services if consumed_by(name, contract)]


def consumed_by(service: str, contract: Contract) -> list[Event]:
    """Return the events that a service hears of."""
    return [event for event in contract.events if service in event.consumers]


def stream(package: str) -> str:
    """Return the stream of a package: `meshmart_order_v1` for `meshmart.order.v1`."""
    return package.replace(".", "_")


def durable(service: str, event: Event) -> str:
    """Return the name of a service's durable for an event."""
    return f"{service}_{event.name}"


def replay(service: str, event: Event) -> str:
    """Return the name of the consumer through which a service reads all of an event again."""
    return f"{durable(service, event)}_replay"


def subject(event: Event) -> str:
    """Return the subjects of an event, over all partitions."""
    return f"{event.full_name}.*"


def stream_config(name: str, *subjects: str) -> Config:
    """Return the configuration of a stream: on disk, for ever, and refusing rather than dropping."""
    return {
        "name": name,
        "subjects": list(subjects),
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_age": 0,
        "duplicate_window": _DUPLICATE_WINDOW,
    }


def durable_config(name: str, filter_subject: str) -> Config:
    """Return the configuration of a durable that delivers until it was acknowledged."""
    return {
        "name": name,
        "durable_name": name,
        "filter_subject": filter_subject,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": _ACK_WAIT,
        "max_deliver": -1,
        "replay_policy": "instant",
    }
