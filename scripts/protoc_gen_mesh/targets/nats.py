"""What the broker needs: streams, durables, and what each service may publish and subscribe to."""

from typing import Any

from scripts.protoc_gen_mesh.model import Contract, Event
from scripts.protoc_gen_mesh.text import to_json

_NANOSECONDS = 1_000_000_000
_DUPLICATE_WINDOW = 120 * _NANOSECONDS
_ACK_WAIT = 5 * _NANOSECONDS


def generate(contract: Contract) -> dict[str, str | bytes]:
    """Return streams and consumers in the form of the JetStream API, and permissions as JSON and as server config."""
    permissions = {name: _permissions(name, contract) for name in contract.services}
    return {
        "streams.json": to_json({"streams": _streams(contract)}),
        "consumers.json": to_json({"consumers": _consumers(contract)}),
        "nats_permissions.json": to_json({"permissions": permissions}),
        "nats_authorization.conf": _conf(permissions, contract),
    }


def _streams(contract: Contract) -> list[dict[str, Any]]:
    packages = {event.package: event.publisher for event in contract.events}
    return [
        {"name": _stream(package), "publisher": publisher, "config": _stream_config(package)}
        for package, publisher in packages.items()
    ]


def _stream_config(package: str) -> dict[str, Any]:
    return {
        "name": _stream(package),
        "subjects": [f"{package}.>"],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_age": 0,
        "duplicate_window": _DUPLICATE_WINDOW,
    }


def _consumers(contract: Contract) -> list[dict[str, Any]]:
    return [
        {
            "service": service,
            "event": event.full_name,
            "stream": _stream(event.package),
            "config": _consumer_config(service, event),
        }
        for event in contract.events
        for service in event.consumers
    ]


def _consumer_config(service: str, event: Event) -> dict[str, Any]:
    name = _durable(service, event)
    return {
        "name": name,
        "durable_name": name,
        "filter_subject": _subject(event),
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": _ACK_WAIT,
        "max_deliver": -1,
        "replay_policy": "instant",
    }


def _permissions(service: str, contract: Contract) -> dict[str, Any]:
    published = [event for event in contract.events if event.publisher == service]
    consumed = [event for event in contract.events if service in event.consumers]
    subjects = [_subject(event) for event in published]
    for stream in dict.fromkeys(_stream(event.package) for event in published):
        subjects += [f"$JS.API.STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE", "INFO")]
    for stream in dict.fromkeys(_stream(event.package) for event in consumed):
        subjects.append(f"$JS.API.STREAM.INFO.{stream}")
    for event in consumed:
        subjects += _consuming(_stream(event.package), _durable(service, event), _subject(event))
    # An empty allow list would allow everything.
    publish = {"allow": list(dict.fromkeys(subjects))} if subjects else {"deny": [">"]}
    return {"publish": publish, "subscribe": {"allow": [f"_INBOX_{service}.>"]}}


def _consuming(stream: str, durable: str, subject: str) -> list[str]:
    # CONSUMER.DURABLE.CREATE is left out: its subject does not hold the filter, so any filter could be asked for.
    return [
        f"$JS.API.CONSUMER.CREATE.{stream}.{durable}.{subject}",
        f"$JS.API.CONSUMER.INFO.{stream}.{durable}",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}",
        f"$JS.ACK.{stream}.{durable}.>",
    ]


def _stream(package: str) -> str:
    return package.replace(".", "_")


def _durable(service: str, event: Event) -> str:
    return f"{service}_{event.name}"


def _subject(event: Event) -> str:
    return f"{event.full_name}.*"


def _conf(permissions: dict[str, dict[str, Any]], contract: Contract) -> str:
    users = "".join(_user(name, permission, contract.root) for name, permission in permissions.items())
    return (
        "# Made by protoc-gen-mesh. Passwords come from the environment; the server reads their text as configuration,\n"
        "# so they must begin with a letter.\n"
        f"authorization {{\n  users: [\n{users}  ]\n}}\n"
    )


def _user(name: str, permission: dict[str, Any], root: str) -> str:
    sides = "".join(f"        {side}: {_rule(rule)}\n" for side, rule in permission.items())
    password = "_".join(part for part in (root, name, "nats_password") if part).replace("-", "_").upper()
    return f"    {{\n      user: {name}\n      password: ${password}\n      permissions: {{\n{sides}      }}\n    }}\n"


def _rule(rule: dict[str, list[str]]) -> str:
    ((kind, subjects),) = rule.items()
    lines = "".join(f'          "{subject}"\n' for subject in subjects)
    return f"{{ {kind}: [\n{lines}        ] }}"
