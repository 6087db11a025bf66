"""A repeated request is answered with the first reply, which is written in the statement of the effect.

A store puts `f"{idempotency.INSERT} VALUES ({idempotency.VALUES})"` (or `SELECT {VALUES} FROM changed`, where no
effect means nothing to remember) into its statement and gives it `idempotency.parameters(reply)`. A repeat breaks the
unique key, the statement does nothing, and the chassis looks the first reply up.
"""

from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from google.protobuf.message import Message

from services.chassis.call import Call, current_call
from services.chassis.database import Database
from services.chassis.refusals import RequestIdReused

INSERT_COLUMNS: Final = "principal, method, request_id, request_hash, reply"
INSERT: Final = f"INSERT INTO idempotency ({INSERT_COLUMNS})"
VALUES: Final = "%(idem_principal)s, %(idem_method)s, %(idem_request_id)s, %(idem_request_hash)s, %(idem_reply)s"
_LOOK_UP: Final = "SELECT request_hash, reply FROM idempotency WHERE request_id = %s AND principal = %s AND method = %s"
_NOBODY: Final = "-"
"""Principal of a call that has none: PUBLIC and INTERNAL methods."""


def parameters(reply: Message) -> dict[str, Any]:
    """Return the parameters of the row that remembers the reply to the call being served."""
    call = current_call()
    if call is None or not call.request_id:
        raise LookupError("no request id: the method is not declared IDEMPOTENT, or no call is being served")
    return {
        "idem_principal": _principal(call),
        "idem_method": call.method.full_name,
        "idem_request_id": UUID(call.request_id),
        "idem_request_hash": call.request_hash,
        "idem_reply": reply.SerializeToString(),
    }


def distinguish(by: bytes) -> None:
    """Tell requests of the call being served apart also by something that its redacted fields do not show.

    Their values are left out of the request's hash, which must give nothing away; `by` must not either.
    """
    call = current_call()
    if call is not None:
        call.request_hash = sha256(call.request_hash + by).digest()


async def stored_reply(database: Database, call: Call) -> bytes | None:
    """Return the first reply to the call's request id, or None. Raises RequestIdReused if that was another request."""
    key = (UUID(call.request_id), _principal(call), call.method.full_name)
    row = await database.one(_LOOK_UP, key)
    if row is None:
        return None
    if row[0] != call.request_hash:
        raise RequestIdReused(
            f"request_id {call.request_id} was used for another request", metadata={"request_id": call.request_id}
        )
    return bytes(row[1])


def _principal(call: Call) -> str:
    return call.principal.subject if call.principal else _NOBODY
