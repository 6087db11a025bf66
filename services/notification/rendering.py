"""The words of a mail, plain and as HTML, from the templates."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from services.chassis.money import Money
from services.notification.domain import Kind, News

TEMPLATES: Final = Path(__file__).parent / "templates"

SUBJECTS: Final = {
    Kind.WELCOME: "Welcome to meshmart",
    Kind.ORDER_CONFIRMED: "Your order is confirmed",
    Kind.ORDER_REJECTED: "Your order could not be completed",
    Kind.ORDER_CANCELLED: "Your order was cancelled",
    Kind.PAYMENT_REFUNDED: "Your money is on its way back",
}

REASONS: Final = {
    "CARD_DECLINED": "the card was declined",
    "CUSTOMER_CANCELLED": "you asked for it",
    "DEADLINE_EXCEEDED": "the payment could not be secured in time",
    "PROCESSOR_UNAVAILABLE": "the payment could not be secured in time",
    "STOCK_INSUFFICIENT": "something in it is sold out",
}
"""Error reasons in words; for others a mail gives none."""

_NO_MINOR_UNIT: Final = [
    "BIF",
    "CLP",
    "DJF",
    "GNF",
    "ISK",
    "JPY",
    "KMF",
    "KRW",
    "PYG",
    "RWF",
    "UGX",
    "UYI",
    "VND",
    "VUV",
    "XAF",
    "XOF",
    "XPF",
]
_THREE_DIGITS: Final = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"]
EXPONENTS: Final = {
    **dict.fromkeys(_NO_MINOR_UNIT, 0),
    **dict.fromkeys(_THREE_DIGITS, 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
"""Digits after the point of currencies that do not have two (ISO 4217)."""


@dataclass(frozen=True, slots=True)
class Text:
    """A mail in words."""

    subject: str
    plain: str
    html: str


class Renderer:
    """Fills the templates. What is put into HTML is escaped."""

    def __init__(self) -> None:
        """Read each template when it is first used."""
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    def render(self, news: News, name: str) -> Text:
        """Return what a customer of a name is told."""
        words = {
            "name": name,
            "subject": SUBJECTS[news.kind],
            "order_id": str(news.order_id or ""),
            "amount": amount_text(news.amount) if news.amount else "",
            "reason": REASONS.get(news.reason, ""),
        }
        plain, html = (
            self._environment.get_template(f"{news.kind.value.lower()}.{kind}").render(words)
            for kind in ("txt", "html")
        )
        return Text(SUBJECTS[news.kind], plain, html)


def amount_text(amount: Money) -> str:
    """Return an amount for people: 1234567 minor units of EUR are `12,345.67 EUR`."""
    digits = EXPONENTS.get(amount.currency_code, 2)
    whole, rest = divmod(amount.minor_units, 10**digits)
    fraction = f".{rest:0{digits}d}" if digits else ""
    return f"{whole:,}{fraction} {amount.currency_code}"
