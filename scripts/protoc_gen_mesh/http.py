"""Bindings of methods to HTTP, as `google.api.http` writes them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_VERBS = ("get", "put", "post", "delete", "patch")
_TOKEN = re.compile(r"\{(?P<name>[^}=]+)(?:=(?P<pattern>[^}]+))?\}|(?P<wild>\*\*?)|(?P<literal>[^{*]+)")
_WILD = {"*": "[^/]+", "**": ".+"}


@dataclass(frozen=True, slots=True)
class Binding:
    """One verb and path template under which a method can be called."""

    verb: str
    path: str
    body: str
    """`*` for the whole request, the name of a field, or empty."""

    @property
    def regex(self) -> str:
        """A regular expression (RE2) that the whole path matches, without its query.

        Envoy's transcoder ignores a slash at the end: a rule that did not would be passed by adding one.
        """
        return "".join(_regex(token) for token in _TOKEN.finditer(self.path)) + "/?"

    @property
    def variables(self) -> tuple[str, ...]:
        """The fields that the path holds, as dotted paths."""
        return tuple(token["name"].strip() for token in _TOKEN.finditer(self.path) if token["name"])

    @property
    def specificity(self) -> tuple[Any, ...]:
        """A key that sorts bindings as a transcoder prefers them: literals first, then a custom verb."""
        segments = tuple(_breadth(segment) for segment in _flat(self.path).split("/"))
        return (segments, ":" not in self.path.rpartition("}")[2], self.path, self.verb)


def bindings_of(rule: Any) -> Iterator[Binding]:
    """Yield the bindings of a `google.api.HttpRule`, the additional ones included."""
    kind = rule.WhichOneof("pattern")
    if kind in _VERBS:
        yield Binding(kind.upper(), getattr(rule, kind), rule.body)
    elif kind == "custom":
        yield Binding(rule.custom.kind.upper(), rule.custom.path, rule.body)
    for additional in rule.additional_bindings:
        yield from bindings_of(additional)


def _regex(token: re.Match[str]) -> str:
    if token["name"]:
        return "".join(_regex(inner) for inner in _TOKEN.finditer(token["pattern"] or "*"))
    return _WILD[token["wild"]] if token["wild"] else re.escape(token["literal"]).replace(r"\-", "-")


def _flat(path: str) -> str:
    return re.sub(r"\{[^}=]+(?:=([^}]+))?\}", lambda variable: variable[1] or "*", path)


def _breadth(segment: str) -> int:
    return 2 if segment.startswith("**") else 1 if segment.startswith("*") else 0
