"""Messages without what the contract marks `debug_redact`: for debug logs, and for the hash of a request."""

from collections.abc import Callable
from functools import cache
from typing import TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.text_format import MessageToString

M = TypeVar("M", bound=Message)
_Clear = Callable[[Message], None]


def redacted(message: M) -> M:
    """Return the message without its redacted fields, at any depth; the message itself where there are none."""
    clear = _plan(message.DESCRIPTOR)
    if clear is None:
        return message
    copy = type(message)()
    copy.CopyFrom(message)
    clear(copy)
    return copy


def redacted_text(message: Message) -> str:
    """Return the message on one line, without its redacted fields."""
    return MessageToString(redacted(message), as_one_line=True)


@cache
def _plan(descriptor: Descriptor) -> _Clear | None:
    """Return what clears the redacted fields of a message; None where nothing is redacted below it."""
    if not _redacts(descriptor, frozenset()):
        return None
    names = [field.name for field in descriptor.fields if field.GetOptions().debug_redact]
    deeper = [
        field
        for field in descriptor.fields
        if field.name not in names and field.message_type and _redacts(field.message_type, frozenset())
    ]

    def clear(message: Message) -> None:
        for name in names:
            message.ClearField(name)
        for field in deeper:
            for part in _parts(message, field):
                _clear(part)

    return clear


def _clear(message: Message) -> None:
    plan = _plan(message.DESCRIPTOR)
    if plan is not None:
        plan(message)


def _redacts(descriptor: Descriptor, seen: frozenset[str]) -> bool:
    """Return whether a message or one below it has a redacted field; messages may contain themselves."""
    if descriptor.full_name in seen:
        return False
    seen |= {descriptor.full_name}
    return any(
        field.GetOptions().debug_redact or (field.message_type is not None and _redacts(field.message_type, seen))
        for field in descriptor.fields
    )


def _parts(message: Message, field: FieldDescriptor) -> list[Message]:
    value = getattr(message, field.name)
    if field.message_type and field.message_type.GetOptions().map_entry:
        return list(value.values())
    if field.is_repeated:
        return list(value)
    return [value] if message.HasField(field.name) else []
