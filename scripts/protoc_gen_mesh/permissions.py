"""What each user of the broker may publish and subscribe to.

Subjects are all that the broker checks. Who may make a stream may therefore ask in its configuration that it copies
another (`sources`), or sends what it takes somewhere else (`republish`): such a request is no message of ours, but a
stolen password could send it. To close that, let somebody else than the services make the streams.
"""

from typing import Any, Final

from scripts.protoc_gen_mesh import jetstream
from scripts.protoc_gen_mesh.jetstream import DeadLetters, consumed_by, dead_letters
from scripts.protoc_gen_mesh.model import Contract

Permissions = dict[str, Any]

OPERATOR: Final = "operator"
"""Reads every stream and has parked events handled again; publishes no events."""
READERS: Final = 8
"""How many streams an operator reads at once. A wildcard in their place would match the durables of services too."""


def permissions_of(contract: Contract) -> dict[str, Permissions]:
    """Return the permissions by user."""
    return {OPERATOR: _operator(contract), **{name: _service(name, contract) for name in contract.services}}


def _service(service: str, contract: Contract) -> Permissions:
    published = [event for event in contract.events if event.publisher == service]
    consumed = consumed_by(service, contract)
    subjects = [jetstream.subject(event) for event in published]
    for stream in dict.fromkeys(jetstream.stream(event.package) for event in published):
        subjects += _owning(stream)
    for stream in dict.fromkeys(jetstream.stream(event.package) for event in consumed):
        subjects.append(f"$JS.API.STREAM.INFO.{stream}")
    for event in consumed:
        subjects += _consuming(
            jetstream.stream(event.package), jetstream.durable(service, event), jetstream.subject(event)
        )
        if event.replayable:
            subjects += _replaying(
                jetstream.stream(event.package), jetstream.replay(service, event), jetstream.subject(event)
            )
    if consumed:
        subjects += _parking(DeadLetters(service, contract.root))
    return _user(service, subjects)


def _owning(stream: str) -> list[str]:
    return [f"$JS.API.STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE", "INFO")]


def _consuming(stream: str, durable: str, subject: str) -> list[str]:
    # CONSUMER.DURABLE.CREATE is left out: its subject does not hold the filter, so any filter could be asked for.
    return [
        f"$JS.API.CONSUMER.CREATE.{stream}.{durable}.{subject}",
        f"$JS.API.CONSUMER.INFO.{stream}.{durable}",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}",
        f"$JS.ACK.{stream}.{durable}.>",
    ]


def _replaying(stream: str, reader: str, subject: str) -> list[str]:
    """Return what it takes to read an event's history again, without acknowledging any of it."""
    return [
        f"$JS.API.CONSUMER.CREATE.{stream}.{reader}.{subject}",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{reader}",
        f"$JS.API.CONSUMER.DELETE.{stream}.{reader}",
    ]


def _parking(letters: DeadLetters) -> list[str]:
    redriven = _consuming(letters.stream, letters.durable, f"{letters.redriven}.*")
    return [f"{letters.parked}.*", *_owning(letters.stream), *redriven]


def _operator(contract: Contract) -> Permissions:
    subjects = [
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.INFO.*",
        "$JS.API.STREAM.MSG.GET.*",
        "$JS.API.CONSUMER.INFO.*.*",
    ]
    for number in range(READERS):
        reader = f"{OPERATOR}_{number}"
        subjects += [
            f"$JS.API.CONSUMER.CREATE.*.{reader}.>",
            f"$JS.API.CONSUMER.MSG.NEXT.*.{reader}",
            f"$JS.API.CONSUMER.DELETE.*.{reader}",
        ]
    for letters in dead_letters(contract):
        subjects += [f"{letters.redriven}.*", f"$JS.API.STREAM.MSG.DELETE.{letters.stream}"]
    return _user(OPERATOR, subjects)


def _user(name: str, subjects: list[str]) -> Permissions:
    # An empty allow list would allow everything.
    publish = {"allow": list(dict.fromkeys(subjects))} if subjects else {"deny": [">"]}
    return {"publish": publish, "subscribe": {"allow": [f"_INBOX_{name}.>"]}}
