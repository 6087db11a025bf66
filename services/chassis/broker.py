"""A service's connection to NATS, as its own user. It is kept for ever: a lost broker degrades, it never stops us."""

import asyncio
import contextlib
import logging
import time
from typing import Final, Self

import nats.errors
from nats.aio.client import Client

from services.chassis.background import end
from services.chassis.health import Report, State
from services.chassis.nats_client import NatsClient

logger = logging.getLogger(__name__)

_RETRY: Final = 0.5
_LOOK: Final = 0.2
"""Seconds between looks at whether the connection is still there."""
_CONNECT_TIMEOUT: Final = 2
_PING_INTERVAL: Final = 2
"""A broker that hangs counts as lost after two unanswered pings."""


class Broker:
    """Connects, and connects again: each connection is a new client, so that nobody trusts the state of an old one."""

    def __init__(self, service: str, url: str, password: str) -> None:
        """Say where the broker is; the user is the service."""
        self._service, self._url, self._password = service, url, password
        self._connected = asyncio.Event()
        self._client: Client | None = None
        self._lost_since = time.monotonic()
        self._keeper: asyncio.Task[None] | None = None
        self._refusal = ""
        self._extra = {"fields": {"service": service}}

    async def start(self) -> None:
        """Begin to connect, without waiting for it."""
        self._keeper = asyncio.create_task(self._keep(), name=f"{self._service} broker")

    async def stop(self) -> None:
        """Send what is left and close the connection."""
        if self._keeper:
            await end(self._keeper)

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    @property
    def service(self) -> str:
        """The service whose connection this is."""
        return self._service

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._connected.is_set()

    @property
    def lost_for(self) -> float:
        """Seconds without a connection; 0 while there is one."""
        return 0.0 if self.connected else time.monotonic() - self._lost_since

    async def client(self) -> Client:
        """Return the client of the current connection, once there is one. A client whose connection broke is closed."""
        while True:
            await self._connected.wait()
            if self._client and not self._client.is_closed:
                return self._client
            await asyncio.sleep(_LOOK)

    def client_now(self) -> Client:
        """Return the client of the current connection. Raises nats.errors.Error without one."""
        if self._client is None or self._client.is_closed:
            raise nats.errors.Error(f"the broker is lost: {self._refusal or 'no connection'}")
        return self._client

    def report(self) -> Report:
        """Say whether there is a connection."""
        if self.connected:
            return Report(State.UP)
        return Report(State.DEGRADED, f"lost for {self.lost_for:.0f} s: {self._refusal or 'no connection'}")

    async def _keep(self) -> None:
        while True:
            closed = asyncio.Event()
            try:
                client = await self._connect(closed)
            except (OSError, nats.errors.Error, TimeoutError) as error:
                self._note_refusal(str(error) or type(error).__name__)
                await asyncio.sleep(_RETRY)
                continue
            except Exception:
                logger.exception("connecting to the broker failed", extra=self._extra)
                await asyncio.sleep(_RETRY)
                continue
            try:
                await self._serve(client, closed)
            finally:
                await client.close()

    async def _serve(self, client: Client, closed: asyncio.Event) -> None:
        logger.info("connected to the broker", extra=self._extra)
        self._client, self._refusal = client, ""
        self._connected.set()
        try:
            # Looked at besides: a client that fails while it closes itself calls nobody back.
            while not (closed.is_set() or client.is_closed):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK):
                        await closed.wait()
        finally:
            self._connected.clear()
            self._lost_since = time.monotonic()
        logger.warning("lost the broker", extra=self._extra)

    async def _connect(self, closed: asyncio.Event) -> Client:
        async def on_closed() -> None:
            closed.set()

        client = NatsClient()
        try:
            await client.connect(
                self._url.split(","),
                name=f"meshmart-{self._service}",
                user=self._service,
                password=self._password,
                inbox_prefix=f"_INBOX_{self._service}",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=_CONNECT_TIMEOUT,
                ping_interval=_PING_INTERVAL,
                max_outstanding_pings=2,
                error_cb=self._on_error,
                closed_cb=on_closed,
            )
        except BaseException:
            await client.close()
            raise
        return client

    async def _on_error(self, error: Exception) -> None:
        """Log what the broker refuses, such as a permission; what ends a connection is logged where it is noticed."""
        if isinstance(error, nats.errors.Error):
            self._note_refusal(str(error))

    def _note_refusal(self, text: str) -> None:
        if text != self._refusal:
            self._refusal = text
            logger.warning("the broker refuses: %s", text, extra=self._extra)
