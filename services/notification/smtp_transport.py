"""Mails, over SMTP. What it raises and logs holds no address: error texts of mail servers do."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final, Literal

import aiosmtplib

from services.notification.domain import Channel, Contacts, Notification, NotNow, Undeliverable
from services.notification.mail import Mail, Mails, one_line
from services.notification.rendering import Renderer

Security = Literal["starttls", "tls", "none"]

PATIENCE: Final = 10.0
"""Seconds that the mail server gets to connect, and for each answer until a mail is handed over."""
LONGEST: Final = 120.0
"""Seconds that a mail may take. A claim must hold longer. Servers look through a mail before they answer that they have
taken it, and who gives up before that sends it again."""
_GOODBYE: Final = 1.0
_PERMANENT: Final = range(500, 600)

UNAVAILABLE: Final = "MAIL_SERVER_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mails are handed over."""

    host: str
    port: int
    security: Security
    user: str = ""
    password: str = ""
    ca_file: str = ""
    """Certificates to trust; those of the system without it."""

    def client(self) -> aiosmtplib.SMTP:
        """Return a client that is not connected yet."""
        return aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            username=self.user or None,
            password=self.password or None,
            use_tls=self.security == "tls",
            start_tls=self.security == "starttls",
            cert_bundle=self.ca_file or None,
            timeout=PATIENCE,
        )


class SmtpTransport:
    """Asks for the address, writes the mail and hands it over, on a connection of its own."""

    channel = Channel.EMAIL

    def __init__(self, server: MailServer, contacts: Contacts, mails: Mails, renderer: Renderer) -> None:
        """Keep the collaborators."""
        self._server = server
        self._contacts = contacts
        self._mails = mails
        self._renderer = renderer

    async def send(self, notification: Notification) -> None:
        """Send a mail. Raises Undeliverable when the server refuses the mail for good, NotNow for all other trouble."""
        contact = await self._contacts.of(notification.news.customer_id)
        text = self._renderer.render(notification.news, one_line(contact.display_name))
        mail = self._mails.compose(notification, contact, text)
        try:
            async with asyncio.timeout(LONGEST):
                await self._hand_over(mail)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise NotNow(_reason(error)) from None

    async def _hand_over(self, mail: Mail) -> None:
        client = self._server.client()
        await client.connect()
        try:
            await client.sendmail(mail.sender, mail.recipient, mail.data, timeout=LONGEST)
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPDataError) as error:
            if code_of(error) in _PERMANENT:
                raise Undeliverable(_reason(error)) from None
            raise
        finally:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                await client.quit(timeout=_GOODBYE)
            client.close()


def code_of(error: BaseException) -> int | None:
    """Return the code that a mail server answered with; None when it did not answer."""
    match error:
        case aiosmtplib.SMTPRecipientsRefused(recipients=[first, *_]):
            return first.code
        case aiosmtplib.SMTPResponseException(code=code):
            return code
    return None


def _reason(error: BaseException) -> str:
    code = code_of(error)
    return f"SMTP_{code}" if code and code > 0 else UNAVAILABLE
