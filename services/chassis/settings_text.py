"""What settings say to people: the lines of `--help`, and what was expected of a wrong one."""

from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

_NAMES = {int: "integer", float: "number", bool: "true or false", str: "text", SecretStr: "secret"}
_BOUNDS = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))


@dataclass(frozen=True, slots=True)
class Says:
    """Words for an annotated type in help and errors, `host:port` for example."""

    words: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A variable that cannot be used. As text it is the one line that its owner needs."""

    variable: str
    expected: str
    got: str

    def __str__(self) -> str:
        """Return the line."""
        return f"{self.variable}: expected {self.expected}, got {self.got}"


def type_text(field: FieldInfo) -> str:
    """Return the type of a field and its bounds in words: `integer >= 1`."""
    said = [mark.words for mark in field.metadata if isinstance(mark, Says)]
    name = said[0] if said else _type_name(field.annotation)
    return " and ".join([name, *_bounds(field, whole=name == "integer")]).replace(" and ", " ", 1)


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (Union, UnionType):
        return _type_name(arguments[0])
    return _NAMES.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _bounds(field: FieldInfo, *, whole: bool) -> list[str]:
    found = []
    for mark in field.metadata:
        for name, sign in _BOUNDS:
            bound = getattr(mark, name, None)
            if bound is not None:
                more_than = whole and name == "gt"
                found.append(f">= {bound + 1}" if more_than else f"{sign} {bound}")
    return found


def problem_of(variable: str, field: FieldInfo | None, detail: ErrorDetails) -> Problem:
    """Return what to tell of a validation error. What was given for a secret is not repeated."""
    expected = type_text(field) if field else detail["msg"]
    if detail["type"] == "value_error" and not (field and any(isinstance(m, Says) for m in field.metadata)):
        expected = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        return Problem(variable, _article(expected), "nothing")
    secret = field is not None and SecretStr in (field.annotation, *get_args(field.annotation))
    return Problem(variable, _article(expected), "something else" if secret else repr(detail["input"]))


def _article(words: str) -> str:
    first = words.split(" ", maxsplit=1)[0]
    if first not in (*_NAMES.values(), "host:port"):
        return f"one of {words}" if " | " in words else words
    return f"{'an' if first[0] in 'aeiou' else 'a'} {words}"


def help_line(variable: str, field: FieldInfo) -> str:
    """Return a line of help: variable, type, default, description."""
    value = field.get_default(call_default_factory=False)
    default = "required" if value is PydanticUndefined else f"default {value}" if str(value) else "optional"
    return f"  {variable:<44} {type_text(field)}; {default}. {field.description or ''}".rstrip()
