"""Writes values as text: JSON, YAML and the durations inside them."""

import json
import re
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_/$][\w./$-]*( [\w./$(,;-]+)*")
_RESERVED = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def duration(seconds: float) -> str:
    """Return a duration as proto JSON writes it: `3s`, `0.5s`."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def to_json(value: Any) -> str:
    """Return indented JSON with a line end, keys in the order given."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def to_yaml(value: Any) -> str:
    """Return block-style YAML of dicts, lists and scalars, keys in the order given."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        return [line for key, item in value.items() for line in _entry(f"{_scalar(str(key))}:", item)]
    if isinstance(value, list) and value:
        return [line for item in value for line in _item(item)]
    return [_scalar(value)]


def _entry(key: str, value: Any) -> list[str]:
    if isinstance(value, str) and "\n" in value:
        return [f"{key} |-", *(f"  {line}".rstrip() for line in value.split("\n"))]
    if isinstance(value, dict | list) and value:
        return [key, *(f"  {line}" for line in _lines(value))]
    return [f"{key} {_scalar(value)}"]


def _item(value: Any) -> list[str]:
    first, *rest = _lines(value)
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
        return value
    return json.dumps(value, ensure_ascii=False)
