"""What strict mode asks of a contract. Each rule yields what is wrong and what to write instead."""

from collections.abc import Callable, Iterator

from google.protobuf.descriptor import Descriptor

from scripts.protoc_gen_mesh.http import Binding
from scripts.protoc_gen_mesh.model import Access, Contract, Event, Level, Method

_READING, _REQUIRED = "GET", 2
_TIMES_OF_STREAMS = ("idle_timeout", "max_age")


def violations(contract: Contract) -> list[str]:
    """Return what is wrong as `file:line: name: what to write`, in the order of the files."""
    found = []
    for method in contract.methods:
        for rule in _METHOD_RULES:
            found += [f"{method.source}: {method.full_name}: {text}" for text in rule(method, contract)]
    for event in contract.events:
        found += [f"{event.source}: {event.full_name}: {text}" for text in _event(event, contract)]
    return found + list(_duplicate_bindings(contract))


def _described(method: Method, _: Contract) -> Iterator[str]:
    if not method.source.comment:
        yield "has no comment; write above it in one sentence what it does, and its errors"


def _policy(method: Method, _: Contract) -> Iterator[str]:
    if "policy" not in method.stated:
        yield (
            "has no policy; write `option (meshmart.policy.v1.method) = "
            "{access: ACCESS_CUSTOMER timeout: {seconds: 1}};`"
        )
    elif "access" not in method.stated:
        yield "its policy has no access; write `access:` ACCESS_PUBLIC, ACCESS_CUSTOMER, ACCESS_STAFF or ACCESS_INTERNAL"


def _times(method: Method, _: Contract) -> Iterator[str]:
    if "policy" not in method.stated:
        return
    if method.streams and "timeout" in method.stated:
        yield "is a stream and has a timeout; write `idle_timeout` and `max_age` instead"
    if not method.streams and "timeout" not in method.stated:
        yield "has no timeout; write `timeout: {seconds: 1}` in its policy, with the time it may take, retries included"
    if not method.streams and method.stated.intersection(_TIMES_OF_STREAMS):
        yield "is unary and has `idle_timeout` or `max_age`; remove them, they are for streams"
    for name in ("timeout", *_TIMES_OF_STREAMS):
        value = getattr(method, name)
        if name in method.stated and value is not None and value <= 0:
            yield f"its {name} is not more than zero; write the seconds it may take"


def _callers(method: Method, contract: Contract) -> Iterator[str]:
    for name in method.callers:
        if name not in contract.services:
            yield f"its caller {name!r} is no service; write one of {_listed(contract)}"
    if method.access is Access.INTERNAL and "access" in method.stated and not method.callers:
        yield "is INTERNAL and nobody may call it; write `callers: [...]` or remove the method"


def _http(method: Method, _: Contract) -> Iterator[str]:
    if method.bindings and method.access is Access.INTERNAL and "access" in method.stated:
        yield "is INTERNAL and has an http binding; remove `google.api.http` or write another access"
    for binding in method.bindings:
        yield from _binding(method, binding)


def _binding(method: Method, binding: Binding) -> Iterator[str]:
    if binding.verb == _READING and method.level is not Level.NO_SIDE_EFFECTS:
        yield "is bound to GET, which anyone may repeat; write `option idempotency_level = NO_SIDE_EFFECTS;` or bind POST"
    if binding.verb == _READING and binding.body:
        yield "is bound to GET with a body; remove `body` or bind POST"
    asking = binding.verb == "POST" and bool(binding.body)
    if method.level is Level.NO_SIDE_EFFECTS and binding.verb != _READING and not asking:
        yield f"has no side effects but is bound to {binding.verb}; bind GET, or POST with a body"
    named = (*binding.variables, *([binding.body] if binding.body not in {"", "*"} else []))
    for path in named:
        if not _has_field(method.request, path):
            yield f"its http binding names {path!r}, which is no field of {method.request.name}; correct the name"


def _has_field(message: Descriptor | None, path: str) -> bool:
    first, _, rest = path.partition(".")
    if message is None or first not in message.fields_by_name:
        return False
    return not rest or _has_field(message.fields_by_name[first].message_type, rest)


def _retries(method: Method, contract: Contract) -> Iterator[str]:
    if method.level is not Level.IDEMPOTENT:
        return
    field = method.request.fields_by_name.get("request_id")
    behaviours = contract.options.get(field.GetOptions(), "google.api.field_behavior") if field else None
    if method.client_streaming:
        yield "is IDEMPOTENT but streams requests, which nobody can send again; remove `idempotency_level`"
    elif _REQUIRED not in (behaviours or ()):
        yield (
            f"is IDEMPOTENT, so it is retried, but {method.request.name} has no REQUIRED `request_id` that makes a repeat "
            "safe; write `string request_id = N [(google.api.field_behavior) = REQUIRED];` or remove `idempotency_level`"
        )


def _event(event: Event, contract: Contract) -> Iterator[str]:
    if not event.source.comment:
        yield "has no comment; write above it in one sentence what happened, and which aggregate it is about"
    if event.publisher not in contract.services:
        yield f"its package belongs to no service, so nobody publishes it; move it to the package of {_listed(contract)}"
    for name in event.consumers:
        if name not in contract.services:
            yield f"its consumer {name!r} is no service; write one of {_listed(contract)}"


def _duplicate_bindings(contract: Contract) -> Iterator[str]:
    first: dict[tuple[str, str], Method] = {}
    for method in contract.methods:
        for binding in method.bindings:
            other = first.setdefault((binding.verb, binding.regex), method)
            if other is not method:
                text = f"{binding.verb} {binding.path} is bound to {other.full_name} ({other.source}) already"
                yield f"{method.source}: {method.full_name}: {text}; write another path"


def _listed(contract: Contract) -> str:
    return ", ".join(contract.services)


_METHOD_RULES: tuple[Callable[[Method, Contract], Iterator[str]], ...] = (
    _described,
    _policy,
    _times,
    _callers,
    _http,
    _retries,
)
