"""What the broker needs: streams, durables, dead letters, and what each user may publish and subscribe to."""

from typing import Any

from scripts.protoc_gen_mesh import jetstream
from scripts.protoc_gen_mesh.model import Contract
from scripts.protoc_gen_mesh.permissions import Permissions, permissions_of
from scripts.protoc_gen_mesh.text import to_json


def generate(contract: Contract) -> dict[str, str | bytes]:
    """Return streams and consumers in the form of the JetStream API, and permissions as JSON and as server config."""
    permissions = permissions_of(contract)
    return {
        "streams.json": to_json({"streams": _streams(contract)}),
        "consumers.json": to_json({"consumers": _consumers(contract)}),
        "dead_letters.json": to_json({"dead_letters": _dead_letters(contract)}),
        "nats_permissions.json": to_json({"permissions": permissions}),
        "nats_authorization.conf": _conf(permissions, contract),
    }


def _streams(contract: Contract) -> list[dict[str, Any]]:
    packages = {event.package: event.publisher for event in contract.events}
    return [
        {
            "name": jetstream.stream(package),
            "publisher": publisher,
            "config": jetstream.stream_config(jetstream.stream(package), f"{package}.>"),
        }
        for package, publisher in packages.items()
    ]


def _consumers(contract: Contract) -> list[dict[str, Any]]:
    return [
        {
            "service": service,
            "event": event.full_name,
            "stream": jetstream.stream(event.package),
            "config": jetstream.durable_config(jetstream.durable(service, event), jetstream.subject(event)),
        }
        for event in contract.events
        for service in event.consumers
    ]


def _dead_letters(contract: Contract) -> list[dict[str, Any]]:
    return [
        {
            "service": letters.service,
            "parked": letters.parked,
            "redriven": letters.redriven,
            "stream": letters.stream_config(),
            "consumer": letters.durable_config(),
        }
        for letters in jetstream.dead_letters(contract)
    ]


def _conf(permissions: dict[str, Permissions], contract: Contract) -> str:
    users = "".join(_user(name, permission, contract.root) for name, permission in permissions.items())
    return (
        "# Made by protoc-gen-mesh. Passwords come from the environment; the server reads their text as configuration,\n"
        "# so they must begin with a letter.\n"
        f"authorization {{\n  users: [\n{users}  ]\n}}\n"
    )


def _user(name: str, permission: Permissions, root: str) -> str:
    sides = "".join(f"        {side}: {_rule(rule)}\n" for side, rule in permission.items())
    password = "_".join(part for part in (root, name, "nats_password") if part).replace("-", "_").upper()
    return f"    {{\n      user: {name}\n      password: ${password}\n      permissions: {{\n{sides}      }}\n    }}\n"


def _rule(rule: dict[str, list[str]]) -> str:
    ((kind, subjects),) = rule.items()
    lines = "".join(f'          "{subject}"\n' for subject in subjects)
    return f"{{ {kind}: [\n{lines}        ] }}"
