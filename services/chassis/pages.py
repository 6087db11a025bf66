"""Pages of a list: sizes, and opaque tokens that say where the next page begins (keyset order)."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar
from uuid import UUID

from services.chassis.errors import DomainError, Kind

T = TypeVar("T")

DEFAULT_SIZE: Final = 20
MAXIMUM_SIZE: Final = 100


class PageTokenInvalid(DomainError):
    """The page token was not given by this method."""

    kind = Kind.INVALID_ARGUMENT
    reason = "PAGE_TOKEN_INVALID"


class PageRequest(Protocol):
    """A request of a list method."""

    @property
    def page_size(self) -> int:
        """Most items to return."""

    @property
    def page_token(self) -> str:
        """Where to begin; empty for the first page."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is asked for: `size` items that come after the keys in `after` (None: from the beginning)."""

    method: str
    size: int
    after: tuple[str, ...] | None


def read(request: PageRequest, method: str, *, keys: int = 1, default: int = DEFAULT_SIZE) -> Page:
    """Return the page that a request asks for. Raises PageTokenInvalid unless `cut` made its token for this method."""
    size = min(request.page_size or default, MAXIMUM_SIZE)
    return Page(method, size, _decode(request.page_token, method, keys) if request.page_token else None)


def id_after(page: Page) -> UUID | None:
    """Return the id that the page comes after; None for the first page. Raises PageTokenInvalid if it is none."""
    if page.after is None:
        return None
    try:
        return UUID(page.after[0])
    except ValueError:
        raise _invalid() from None


def cut(page: Page, rows: Sequence[T], keys: Callable[[T], Sequence[str]]) -> tuple[Sequence[T], str]:
    """Return the items to show and the next token, from `page.size + 1` rows or fewer.

    `keys` returns an item's place in the order of the list, in text. The token is empty at the end.
    """
    shown = rows[: page.size]
    return shown, _encode(page.method, keys(shown[-1])) if len(rows) > page.size else ""


def _encode(method: str, keys: Sequence[str]) -> str:
    text = json.dumps([method, *keys], separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(token: str, method: str, keys: int) -> tuple[str, ...]:
    try:
        found = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (Base64Error, ValueError):
        raise _invalid() from None
    match found:
        case [str(of), *after] if of == method and len(after) == keys and all(isinstance(key, str) for key in after):
            return tuple(after)
    raise _invalid()


def _invalid() -> PageTokenInvalid:
    return PageTokenInvalid(
        "page_token is not one that this method returned", fields={"page_token": "must come from an earlier response"}
    )
