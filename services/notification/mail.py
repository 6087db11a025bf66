"""Makes the mail of a notification (RFC 5322): the same notification always makes the same mail, to the byte."""

import unicodedata
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from services.notification.domain import Contact, Notification, Undeliverable
from services.notification.tokens import Unsubscribing

if TYPE_CHECKING:  # the templates' engine is loaded only where mails are sent
    from services.notification.rendering import Text

# A long header would be folded inside an address of a page, which mail programs then do not understand. Every server
# takes seven bits, so what is sent does not depend on what a server says it can.
_POLICY: Final = SMTP.clone(max_line_length=998, cte_type="7bit")


def one_line(text: str) -> str:
    """Return a text without line breaks and other controls, so that a name cannot become a header or a paragraph."""
    printable = "".join(" " if unicodedata.category(letter).startswith(("C", "Z")) else letter for letter in text)
    return " ".join(printable.split())


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail and its envelope."""

    sender: str
    recipient: str = field(repr=False)
    data: bytes = field(repr=False)


def sender_of(text: str) -> Address:
    """Return the sender in `name <address>`. Raises ValueError if there is none."""
    name, _, address = text.rpartition("<")
    return Address(name.strip(), addr_spec=address.strip().removesuffix(">"))


class Mails:
    """Makes the mails of one shop."""

    def __init__(self, sender: Address, public_url: str, unsubscribing: Unsubscribing) -> None:
        """Say who sends them, and where the shop is."""
        self._sender = sender
        self._public_url = public_url.rstrip("/")
        self._unsubscribing = unsubscribing

    def compose(self, notification: Notification, contact: Contact, text: "Text") -> Mail:
        """Return the mail to somebody. Raises Undeliverable for an address that no mail can go to."""
        unsubscribe, recipient = self._unsubscribe_url(notification), _recipient(contact)
        mail = EmailMessage(_POLICY)
        mail["From"] = self._sender
        mail["To"] = recipient
        mail["Subject"] = text.subject
        mail["Date"] = notification.create_time
        mail["Message-ID"] = f"<{notification.id}@{self._sender.domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["List-Unsubscribe"] = f"<{unsubscribe}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        mail.set_content(text.plain)
        mail.add_alternative(text.html, subtype="html")
        mail.set_boundary(f"meshmart-{notification.id.hex}")
        return Mail(self._sender.addr_spec, recipient.addr_spec, mail.as_bytes())

    def _unsubscribe_url(self, notification: Notification) -> str:
        """Return what mail programs post to (RFC 8058)."""
        token = self._unsubscribing.token(notification.news.customer_id)
        return f"{self._public_url}/v1/notifications:unsubscribe?token={quote(token)}"


def _recipient(contact: Contact) -> Address:
    try:
        contact.email.encode("ascii")
        return Address(one_line(contact.display_name), addr_spec=contact.email)
    except ValueError:
        raise Undeliverable("ADDRESS_INVALID") from None
