"""A real mail server in the test's own process. It keeps what it takes, and refuses as it is told."""

import asyncio
import logging
import ssl
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult

HOST = "127.0.0.1"

# It would write down every address, and tests look for addresses in what our services write.
logging.getLogger("mail.log").disabled = True


@dataclass
class Caught:
    """One mail as the server got it."""

    sender: str
    recipients: list[str]
    data: bytes
    user: str
    encrypted: bool

    @property
    def mail(self) -> EmailMessage:
        """The mail, read as mail programs do."""
        return message_from_bytes(self.data, policy=POLICY)

    def part(self, kind: str) -> str:
        """Return the plain or the HTML text."""
        body = self.mail.get_body((kind,))
        assert body is not None
        return str(body.get_content()).replace("\r\n", "\n")


@dataclass
class MailCatcher:
    """A mail server while its context lasts; `stop` and `start` in between as it goes away and comes back."""

    security: str = "none"
    context: ssl.SSLContext | None = None
    user: str = ""
    port: int = 0
    caught: list[Caught] = field(default_factory=list)
    refusals: dict[str, list[str]] = field(default_factory=lambda: {"RCPT": [], "DATA": []})
    """What to answer to the next of each command, instead of taking it."""
    tries: int = 0
    gate: asyncio.Event | None = None
    """What an answer to a mail waits for."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, from the second time on where it did before."""
        loop = asyncio.get_running_loop()
        direct = self.context if self.security == "tls" else None
        self._server = await loop.create_server(self._protocol, HOST, self.port, ssl=direct)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more."""
        if self._server:
            self._server.close()
            self._server = None

    def _protocol(self) -> SMTP:
        return SMTP(
            self,
            hostname="catcher.example",
            enable_SMTPUTF8=True,
            tls_context=self.context if self.security == "starttls" else None,
            require_starttls=self.security == "starttls",
            auth_required=bool(self.user),
            auth_require_tls=False,
            authenticator=self._sign_in,
        )

    def _sign_in(self, server: SMTP, session: Any, envelope: Any, mechanism: str, login: Any) -> AuthResult:
        return AuthResult(success=login.login.decode() == self.user, auth_data=login.login.decode())

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refusals["RCPT"]:
            self.tries += 1
            return self.refusals["RCPT"].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.tries += 1
        if self.refusals["DATA"]:
            return self.refusals["DATA"].pop(0)
        user, encrypted = session.auth_data or "", session.ssl is not None or self.security == "tls"
        self.caught.append(Caught(envelope.mail_from, envelope.rcpt_tos, envelope.content, user, encrypted))
        self.reached.set()
        if self.gate:
            await self.gate.wait()
        return "250 taken"
