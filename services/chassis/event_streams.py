"""The streams and durable consumers of the contract, as JetStream has them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nats.errors
from google.protobuf.message import Message
from nats.aio.client import Client
from nats.js.errors import APIError

from services.chassis.contract import event_contract
from services.chassis.events import stream_name

_MESH: Final = Path(__file__).parents[2] / "gen" / "mesh"
STREAMS: Final = _MESH / "streams.json"
CONSUMERS: Final = _MESH / "consumers.json"
ACK_WAIT: Final = 5.0
"""Seconds after which a message that nobody acknowledged, or said to be working on, goes to somebody else."""

_NANOSECONDS: Final = 1_000_000_000
_TIMEOUT: Final = 2.0
_STREAM_EXISTS: Final = 10058
"""JetStream's error code for a stream that exists with another configuration."""

Config = dict[str, Any]
"""A configuration in the form of the JetStream API."""


@dataclass(frozen=True, slots=True)
class Durable:
    """One service's durable consumer of one event."""

    stream: str
    name: str
    subject: str

    @property
    def config(self) -> Config:
        """What JetStream is asked to create."""
        return {
            "name": self.name,
            "durable_name": self.name,
            "filter_subject": self.subject,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(ACK_WAIT * _NANOSECONDS),
            "max_deliver": -1,
            "replay_policy": "instant",
        }


def streams_of(service: str) -> list[Config]:
    """Return the streams that a service publishes to, as the contract compiler wrote them."""
    streams = json.loads(STREAMS.read_text())["streams"]
    return [stream["config"] for stream in streams if stream["publisher"] == service]


def compiled_durables() -> list[Config]:
    """Return the durables of all services: `service`, `event`, `stream` and `config`."""
    durables: list[Config] = json.loads(CONSUMERS.read_text())["consumers"]
    return durables


def durable_of(service: str, event: type[Message]) -> Durable:
    """Return a service's durable consumer of an event. Raises ValueError if the contract does not name the service."""
    contract = event_contract(event)  # type: ignore[arg-type]  # a class is hashable
    if service not in contract.consumers:
        raise ValueError(
            f"{service} may not consume {contract.full_name}: its contract names {_named(contract.consumers)}"
        )
    package, _, name = contract.full_name.rpartition(".")
    return Durable(stream_name(package), f"{service}_{name}", f"{contract.full_name}.*")


async def ensure_stream(client: Client, config: Config) -> None:
    """Create a stream, or give the one there is its configuration. Raises nats.errors.Error."""
    try:
        await ask(client, f"STREAM.CREATE.{config['name']}", config)
    except APIError as error:
        if error.err_code != _STREAM_EXISTS:
            raise
        await ask(client, f"STREAM.UPDATE.{config['name']}", config)


async def ensure_durable(client: Client, durable: Durable) -> None:
    """Create a durable consumer, or give the one there is its configuration. Raises NotFoundError without a stream."""
    body = {"stream_name": durable.stream, "config": durable.config}
    await ask(client, f"CONSUMER.CREATE.{durable.stream}.{durable.name}.{durable.subject}", body)


async def ask(client: Client, operation: str, body: Config | None = None) -> Config:
    """Return what JetStream answers. Raises nats.errors.Error."""
    return await request(client, f"$JS.API.{operation}", json.dumps(body or {}).encode())


async def request(client: Client, subject: str, data: bytes, headers: dict[str, str] | None = None) -> Config:
    """Return what JetStream answers to a request or a publish. Raises nats.errors.Error."""
    try:
        reply = await client.request(subject, data, timeout=_TIMEOUT, headers=headers)
    except TimeoutError:
        # NATS answers what is not permitted with silence.
        raise nats.errors.Error(f"nats: no answer to {subject}") from None
    answer: Config = json.loads(reply.data)
    if "error" in answer:
        APIError.from_error(answer["error"])  # raises
    return answer


def _named(consumers: frozenset[str]) -> str:
    return ", ".join(sorted(consumers)) or "nobody"
