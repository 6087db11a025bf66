"""The whole shop on this machine: starts it in order, keeps it running, stops it in reverse."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from scripts.local_run.environment import database_url, environment, exports, operator_environment
from scripts.local_run.envoy import Envoy, configuration
from scripts.local_run.journal import Journal
from scripts.local_run.keeper import Keeper
from scripts.local_run.nats import Nats, User
from scripts.local_run.ports import SERVICES, STATELESS, Ports
from scripts.local_run.postgres import Postgres
from scripts.local_run.process import ROOT, ServiceProcess
from scripts.local_run.program import ProgramError
from scripts.local_run.provision import close_common, provision
from scripts.local_run.secrets import OPERATOR, Secrets, load_secrets, write_for_owner

PERMISSIONS = ROOT / "gen" / "mesh" / "nats_permissions.json"
ONE_PROCESS = "services"


class Shop:
    """A running shop; an async context manager. Parts: postgres, nats, edge, and each service by its name."""

    def __init__(self, state: Path, ports: Ports, *, postgres_url: str | None = None) -> None:
        """Say where the state lies, where to listen, and whose PostgreSQL to use (an administrator's address)."""
        self.state = state.resolve()
        self.ports = ports
        self._postgres_url = postgres_url or os.environ.get("MESHMART_POSTGRES_URL")
        self._exports = self.state / "environment"
        self._journal = Journal(self.state)
        self._keeper = Keeper(self._journal.write)
        self._secrets: Secrets | None = None
        self._processes: Mapping[str, ServiceProcess] = {}

    async def __aenter__(self) -> Self:
        """Start the shop; what has started is stopped again when something does not."""
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the shop."""
        await self.stop()

    @property
    def url(self) -> str:
        """Address of the edge."""
        return f"http://127.0.0.1:{self.ports.edge}"

    @property
    def secrets(self) -> Secrets:
        """Secrets of this run."""
        if self._secrets is None:
            raise ProgramError("the shop is not started")
        return self._secrets

    @property
    def admin_url(self) -> str:
        """Address of PostgreSQL for its administrator."""
        if self._postgres_url is None:
            raise ProgramError("the shop is not started")
        return self._postgres_url

    def database_url(self, service: str) -> str:
        """Return the address of a service's database for that service."""
        return database_url(self.admin_url, service, self.secrets)

    def environment(self, *services: str) -> dict[str, str]:
        """Return the environment for `python -m services ...` on behalf of services; of all when none is named."""
        return environment(services or SERVICES, self.ports, self.secrets, self.admin_url)

    def operator_environment(self) -> dict[str, str]:
        """Return the environment for `python -m services events ...`."""
        return operator_environment(self.ports, self.secrets, self.admin_url)

    def log(self, name: str) -> Path:
        """Return the log file of a part."""
        return self.state / "logs" / f"{self.part_of(name)}.log"

    def part_of(self, name: str) -> str:
        """Return the part that a name means: in one process every service is the same one."""
        return ONE_PROCESS if self.ports.one_process and name in SERVICES else name

    def pids(self) -> dict[str, int]:
        """Return the process ids of the parts that run."""
        programs = {name: kept.part.program for name, kept in self._keeper.parts.items()}
        return {name: program.pid for name, program in programs.items() if program.running}

    def restarts(self, name: str) -> int:
        """Return how often a part has been started again after it died."""
        return self._keeper.parts[self.part_of(name)].restarts

    async def kill(self, name: str, *, hold: bool = False) -> None:
        """End a part as a crash would (SIGKILL). It is started again at once; with `hold` only by `restart`."""
        await self._keeper.kill(self.part_of(name), hold=hold)

    async def restart(self, name: str) -> None:
        """Stop a part in its own way if it runs, and start it; return when it is ready."""
        await self._keeper.restart(self.part_of(name))

    def tell(self, name: str, environment: Mapping[str, str]) -> None:
        """Give the process of a service this environment besides its own, from its next start on; `{}` takes it back."""
        self._processes[self.part_of(name)].tell(environment)
        self._keeper.hurry(self.part_of(name))

    async def ready(self, name: str) -> None:
        """Return once a part is ready, for example after `kill`; bound it with `asyncio.timeout`."""
        await self._keeper.parts[self.part_of(name)].ready.wait()

    async def start(self) -> None:
        """Start everything in order; return when the edge serves."""
        self._journal.open()
        self.ports.check()
        self._secrets = load_secrets(self.state)
        await asyncio.gather(self._start_databases(), self._keeper.add("nats", self._nats()))
        write_for_owner(self._exports, exports(self.ports, self.secrets, self.admin_url))
        await asyncio.to_thread(self._migrate)
        self._processes = self._services()
        await asyncio.gather(*(self._keeper.add(name, part) for name, part in self._processes.items()))
        await self._keeper.add("edge", self._edge())

    async def stop(self) -> None:
        """Stop everything in reverse; services drain together. Without an effect on a shop that was refused its folder."""
        if not self._journal.held:
            return
        await self._keeper.relax()
        services = {self.part_of(name) for name in SERVICES}
        for group in ({"edge"}, services, {"nats"}, {"postgres"}):
            await self._keeper.stop(group)
        self._exports.unlink(missing_ok=True)
        self._journal.close()

    async def _start_databases(self) -> None:
        if self._postgres_url is None:
            server = Postgres(self.state / "postgres", self.log("postgres"), self.secrets.postgres)
            await self._keeper.add("postgres", server)
            self._postgres_url = server.url()
            await asyncio.to_thread(close_common, self._postgres_url)
        passwords = {name: self.secrets.database(name) for name in SERVICES if name not in STATELESS}
        await asyncio.to_thread(provision, self._postgres_url, passwords)

    def _nats(self) -> Nats:
        permissions = json.loads(PERMISSIONS.read_text())["permissions"]
        users: list[User] = [
            {"user": name, "password": self.secrets.nats(name), "permissions": permissions[name]}
            for name in (*SERVICES, OPERATOR)
            if name not in STATELESS
        ]
        return Nats(self.state / "nats", self.log("nats"), users, self.ports.nats)

    def _migrate(self) -> None:
        command = [sys.executable, "-m", "services", "migrate", "all"]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment(), capture_output=True, text=True, check=False, timeout=120
        )
        self.log("migrate").write_text(done.stdout + done.stderr)
        if done.returncode:
            raise ProgramError(f"the migration ended with status {done.returncode}:\n{done.stdout}{done.stderr}")

    def _services(self) -> Mapping[str, ServiceProcess]:
        hosted = {ONE_PROCESS: tuple(SERVICES)} if self.ports.one_process else {name: (name,) for name in SERVICES}
        return {
            name: ServiceProcess(names, self.log(name), self.ports.http(names[0]), self.environment(*names))
            for name, names in hosted.items()
        }

    def _edge(self) -> Envoy:
        services = {name: ("127.0.0.1", self.ports.grpc(name)) for name in SERVICES}
        text = configuration(self.ports.edge, self.ports.edge_admin, services)
        return Envoy(self.state, self.log("edge"), self.ports.edge, self.ports.edge_admin, text)
