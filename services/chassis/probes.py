"""The HTTP port: /livez, /readyz and /metrics, for Kubernetes, Prometheus and people."""

from types import TracebackType
from typing import Final, Self

from aiohttp import web

from services.chassis.health import Health
from services.chassis.metrics import CONTENT_TYPE, Metrics

_SHUTDOWN_SECONDS: Final = 1.0


class Probes:
    """An HTTP server, for as long as the context lasts."""

    def __init__(self, listen: str, health: Health, metrics: Metrics) -> None:
        """Listen on `host:port`; port 0 takes a free one."""
        self._host, _, port = listen.rpartition(":")
        self.port = int(port)
        """The real port, once it listens."""
        self._health, self._metrics = health, metrics
        application = web.Application()
        application.router.add_get("/livez", _live)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._scrape)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)

    async def __aenter__(self) -> Self:
        """Listen."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host.strip("[]"), self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _ready(self, _: web.Request) -> web.Response:
        """Say which dependency does how; 503 only when NOT_SERVING, never for what is degraded."""
        return web.json_response(self._health.readiness(), status=200 if self._health.serving() else 503)

    async def _scrape(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})


async def _live(_: web.Request) -> web.Response:
    """Say that the event loop turns; nothing else, or a lost database would have every replica killed."""
    return web.Response(text="ok\n")
