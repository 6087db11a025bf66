"""Identifiers: UUIDv7 for what is new, UUIDv5 for what a saga must be able to say twice (RFC 9562)."""

import os
import time
from uuid import UUID, uuid5


def new_id() -> UUID:
    """Return a UUIDv7: 48 bits of Unix milliseconds, then random bits, so that ids sort by time."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = milliseconds << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def step_id(aggregate_id: UUID, step: str) -> UUID:
    """Return the request id of a saga's step: always the same for the same aggregate and step."""
    return uuid5(aggregate_id, step)
