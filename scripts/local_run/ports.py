"""Who listens where on this machine: everything follows from one base port."""

import errno
import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass

SERVICES: Mapping[str, int] = {
    "identity": 0,
    "catalog": 1,
    "inventory": 2,
    "payment": 3,
    "order": 4,
    "notification": 5,
    "analytics": 6,
    "storefront": 8,
}
"""Services of the shop and their indices, as their declarations say (a test compares)."""
STATELESS = frozenset({"storefront"})
"""Services without database and events."""
DEFAULT_BASE = 8080


class PortTakenError(RuntimeError):
    """Somebody else listens where we want to."""


@dataclass(frozen=True)
class Ports:
    """The table of ports. In one process all services share the first service's ports."""

    base: int = DEFAULT_BASE
    one_process: bool = False

    @property
    def edge(self) -> int:
        """Port of Envoy."""
        return self.base

    @property
    def edge_admin(self) -> int:
        """Port of Envoy's administration."""
        return self.base + 1

    @property
    def nats(self) -> int:
        """Port of NATS."""
        return self.base + 2

    def grpc(self, service: str) -> int:
        """Port of a service's gRPC server."""
        return self.base + 10 + 2 * self._index(service)

    def http(self, service: str) -> int:
        """Port of a service's probes and metrics."""
        return self.grpc(service) + 1

    def _index(self, service: str) -> int:
        return 0 if self.one_process else SERVICES[service]

    def table(self) -> dict[int, str]:
        """Return what each port is for."""
        wanted = {self.edge: "the edge", self.edge_admin: "Envoy's admin", self.nats: "NATS"}
        for service in SERVICES:
            wanted.setdefault(self.grpc(service), f"{service}'s gRPC")
            wanted.setdefault(self.http(service), f"{service}'s HTTP")
        return wanted

    def check(self) -> None:
        """Raise when any of the ports is taken, naming it and what wanted it."""
        for port, purpose in self.table().items():
            if not _free(port):
                raise PortTakenError(f"port {port}, wanted for {purpose}, is taken: choose another base with --port")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def free_base() -> int:
    """Return a base port whose whole table is free at the moment. The search begins anywhere: others search too."""
    bases = list(range(20_000, 32_000, 50))
    random.shuffle(bases)
    for base in bases:
        try:
            Ports(base).check()
        except PortTakenError:
            continue
        return base
    raise PortTakenError("no free range of ports between 20000 and 32000")
