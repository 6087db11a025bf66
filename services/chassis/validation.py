"""Requests against the rules of the contract."""

from google.protobuf.message import Message
from protovalidate import ValidationError, Validator, Violation

from services.chassis.refusals import RequestInvalid

MAX_VIOLATIONS = 20
"""More would not fit into the trailers, of which gRPC accepts 8 KiB."""

_validator = Validator()


def validate(request: Message) -> None:
    """Raise RequestInvalid, with what is wrong by field, if a request breaks a rule."""
    try:
        _validator.validate(request)
    except ValidationError as error:
        violations = error.violations[:MAX_VIOLATIONS]
        fields = {_path(violation): violation.proto.message for violation in reversed(violations)}
        raise RequestInvalid("the request is invalid", fields=dict(reversed(fields.items()))) from None


def _path(violation: Violation) -> str:
    """Return `lines[2].quantity`; the message itself is `.`."""
    path = violation.proto.field
    if path is None:
        return "."
    return ".".join(
        element.field_name if element.subscript is None else f"{element.field_name}[{element.subscript.value}]"
        for element in path.elements
    )
