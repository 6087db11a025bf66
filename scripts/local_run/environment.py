"""What each process of ours is told, in the variables that `python -m services --help` lists."""

import os
import shlex
from collections.abc import Collection, Iterable, Mapping
from urllib.parse import quote, urlsplit, urlunsplit

from scripts.local_run.ports import SERVICES, STATELESS, Ports
from scripts.local_run.secrets import OPERATOR, STAFF_EMAIL, Secrets


def database_url(admin_url: str, service: str, secrets: Secrets) -> str:
    """Return the address of a service's database on the server that an administrator's address names."""
    name = f"meshmart_{service}"
    parts = urlsplit(admin_url)
    host = parts.netloc.rpartition("@")[2]
    credentials = f"{name}:{quote(secrets.database(service), safe='')}"
    return urlunsplit(parts._replace(netloc=f"{credentials}@{host}", path=f"/{name}"))


def environment(hosted: Iterable[str], ports: Ports, secrets: Secrets, admin_url: str) -> dict[str, str]:
    """Return the environment of a process that hosts services: their own secrets and everyone's addresses."""
    services = tuple(hosted)
    first = min(services, key=SERVICES.__getitem__)
    listen = {
        "MESHMART_GRPC_LISTEN": f"127.0.0.1:{ports.grpc(first)}",
        "MESHMART_HTTP_LISTEN": f"127.0.0.1:{ports.http(first)}",
    }
    return {**_inherited(os.environ, services), **listen, **_told(services, ports, secrets, admin_url)}


def exports(ports: Ports, secrets: Secrets, admin_url: str) -> str:
    """Return lines for a shell that runs `python -m services ...` by hand: all of it, and free ports to listen on."""
    values = {**_by_hand(ports, secrets, admin_url), **_operator(secrets)}
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())


def operator_environment(ports: Ports, secrets: Secrets, admin_url: str) -> dict[str, str]:
    """Return the environment of `python -m services events`: every database, and the operator's way to the broker."""
    return {**_inherited(os.environ), **_by_hand(ports, secrets, admin_url), **_operator(secrets)}


def _by_hand(ports: Ports, secrets: Secrets, admin_url: str) -> dict[str, str]:
    listen = dict.fromkeys(("MESHMART_GRPC_LISTEN", "MESHMART_HTTP_LISTEN"), "127.0.0.1:0")
    return {**listen, **_told(tuple(SERVICES), ports, secrets, admin_url)}


def _operator(secrets: Secrets) -> dict[str, str]:
    return {"MESHMART_OPERATOR_NATS_PASSWORD": secrets.nats(OPERATOR)}


def _told(services: Iterable[str], ports: Ports, secrets: Secrets, admin_url: str) -> dict[str, str]:
    values = {"MESHMART_NATS_URL": f"nats://127.0.0.1:{ports.nats}"}
    for service in SERVICES:
        values[f"MESHMART_{service.upper()}_ADDRESS"] = f"127.0.0.1:{ports.grpc(service)}"
    for service in services:
        values |= _own(service, ports, secrets, admin_url)
    return values


def _own(service: str, ports: Ports, secrets: Secrets, admin_url: str) -> dict[str, str]:
    prefix = f"MESHMART_{service.upper()}"
    values = {}
    if service not in STATELESS:
        values[f"{prefix}_DATABASE_URL"] = database_url(admin_url, service, secrets)
        values[f"{prefix}_NATS_PASSWORD"] = secrets.nats(service)
    if service == "identity":
        values[f"{prefix}_KEY_ENCRYPTION_SECRET"] = secrets.key_encryption
        values[f"{prefix}_STAFF_EMAIL"] = STAFF_EMAIL
        values[f"{prefix}_STAFF_PASSWORD"] = secrets.staff_password
    if service == "notification":
        values[f"{prefix}_UNSUBSCRIBE_SECRET"] = secrets.unsubscribe
        values[f"{prefix}_PUBLIC_URL"] = os.environ.get(f"{prefix}_PUBLIC_URL", f"http://127.0.0.1:{ports.edge}")
    return values


def _inherited(outer: Mapping[str, str], hosted: Collection[str] = frozenset(SERVICES)) -> dict[str, str]:
    """Return the user's own environment, settings of ours included, without what is for others to know.

    That is the administrator's, and what is set for services that are not hosted here, as the password of a mail server.
    """
    others = tuple(f"MESHMART_{service.upper()}_" for service in SERVICES if service not in hosted)
    kept = {
        name: value for name, value in outer.items() if name != "MESHMART_POSTGRES_URL" and not name.startswith(others)
    }
    # glibc keeps an arena per core and thread otherwise: tens of megabytes per process.
    return {"MALLOC_ARENA_MAX": "2", **kept}
