"""Idempotent methods: what failed because it was done before is answered with the first reply."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message

from services.chassis.call import Call, current_call
from services.chassis.redaction import redacted

Handle = Callable[[Message, Any], Awaitable[bytes]]
StoredReply = Callable[[Call], Awaitable[bytes | None]]
"""Returns the first reply to the call's request id, or None. Raises RequestIdReused if that was another request."""


def replaying(handle: Handle, stored_reply: StoredReply) -> Handle:
    """Return a handler that looks for a stored reply once the real one fails; success pays nothing."""

    async def handle_once(request: Any, context: Any) -> bytes:
        call = current_call()
        assert call is not None  # noqa: S101  # the pipeline has set it
        call.request_id = request.request_id
        call.request_hash = request_hash(request)
        try:
            return await handle(request, context)
        except Exception:
            # Where it cannot be read, nobody knows whether this is a repeat: then that is the answer, not a refusal.
            reply = await stored_reply(call)
            if reply is None:
                raise
            return reply

    return handle_once


def request_hash(request: Message) -> bytes:
    """Return a hash that tells requests apart.

    Redacted fields are left out: from a fast hash a password or a card number could be guessed. Two requests that
    differ only there count as the same.
    """
    return hashlib.sha256(redacted(request).SerializeToString(deterministic=True)).digest()
