"""Payloads of events as JSON, without what the contract marks `debug_redact`."""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from meshmart.policy.v1 import policy_pb2

from services.chassis.redaction import redacted

GENERATED: Final = Path(__file__).parents[2] / "gen"


def as_json(event_type: str, payload: bytes) -> dict[str, Any] | None:
    """Return a payload with the names of the contract; None where it is no such event."""
    event = class_of(event_type)
    if event is None:
        return None
    try:
        message = event.FromString(payload)
    except DecodeError:
        return None
    return json_format.MessageToDict(redacted(message), preserving_proto_field_name=True)


def unknown_fields(event_type: str, payload: bytes) -> list[int]:
    """Return the numbers of the fields that our contract does not have: who published it knows a newer one."""
    event = class_of(event_type)
    if event is None:
        return []
    try:
        fields = UnknownFieldSet(event.FromString(payload))
        return sorted({fields[number].field_number for number in range(len(fields))})
    except DecodeError:
        return []


def event_types() -> list[str]:
    """Return the full names of all events."""
    return [
        message.full_name
        for module in _modules()
        for message in module.DESCRIPTOR.message_types_by_name.values()
        if message.GetOptions().HasExtension(policy_pb2.event)
    ]


def class_of(event_type: str) -> type[Message] | None:
    """Return the class of an event by its full name; None where our contract has none."""
    _modules()
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(event_type)
    except KeyError:
        return None
    return message_factory.GetMessageClass(descriptor)


@cache
def _modules() -> list[Any]:
    """Import the contracts of events, which makes their messages known."""
    paths = sorted((GENERATED / "meshmart").rglob("*_events_pb2.py"))
    return [import_module(".".join(path.relative_to(GENERATED).with_suffix("").parts)) for path in paths]
