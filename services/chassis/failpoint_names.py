"""Every failpoint there is: what its name says of where it is."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

from google.protobuf.descriptor import FileDescriptor

GENERATED: Final = Path(__file__).parents[2] / "gen"

PLACES: Final[Mapping[str, str]] = {
    "relay.before_publish": "events were written and read, none is published",
    "relay.after_publish": "the streams have them, none is marked",
    "relay.after_mark": "they are marked",
}
"""Failpoints that stand in the code by their name."""

AROUND: Final[Mapping[str, tuple[str, ...]]] = {
    "saga": ("reserve", "authorize", "confirm", "turn", "void", "release", "reject"),
    "processor": ("authorize", "capture", "void", "refund"),
    "reservations": ("expire",),
    "payments": ("expire",),
}
"""Methods with a failpoint on either side: `saga.before_reserve`, `saga.after_reserve`."""

FAMILIES: Final[Mapping[str, str]] = {
    "rpc.{}.METHOD": "each unary method: before its handler; with its effect committed and no reply sent",
    "consumer.{}.SERVICE_EVENT": "each durable consumer: before its handler; with its effect committed and no ack sent",
}
"""Failpoints on either side of what the contracts name: `rpc.after.ReserveStock`, `consumer.before.payment_OrderConfirmed`."""


@cache
def known() -> frozenset[str]:
    """Return every name. Those of methods and consumers come from the contracts, which are imported for it."""
    pairs = [f"{part}.{{}}_{method}" for part, methods in AROUND.items() for method in methods]
    pairs += [f"rpc.{{}}.{name}" for name in _methods()]
    pairs += [f"consumer.{{}}.{name}" for name in _durables()]
    return frozenset([*PLACES, *(pair.format(side) for pair in pairs for side in ("before", "after"))])


@cache
def _contracts() -> list[FileDescriptor]:
    paths = sorted((GENERATED / "meshmart").rglob("*_pb2.py"))
    return [import_module(".".join(path.relative_to(GENERATED).with_suffix("").parts)).DESCRIPTOR for path in paths]


def _methods() -> Iterator[str]:
    for file in _contracts():
        for service in file.services_by_name.values():
            yield from (
                name
                for name, method in service.methods_by_name.items()
                if not (method.client_streaming or method.server_streaming)
            )


def _durables() -> Iterator[str]:
    policy_pb2 = import_module("meshmart.policy.v1.policy_pb2")
    for file in _contracts():
        for name, message in file.message_types_by_name.items():
            for consumer in message.GetOptions().Extensions[policy_pb2.event].consumers:
                yield f"{consumer}_{name}"


def help_text() -> str:
    """Return the lines of `--help`."""
    sides = [f"{part}.before_METHOD, {part}.after_METHOD: {', '.join(methods)}" for part, methods in AROUND.items()]
    families = [f"{name.format('before')}, {name.format('after')}: {where}" for name, where in FAMILIES.items()]
    places = [f"{name}: {where}" for name, where in PLACES.items()]
    return "\n".join(["Failpoints, for MESHMART_FAILPOINTS", *(f"  {line}" for line in (*places, *sides, *families))])
