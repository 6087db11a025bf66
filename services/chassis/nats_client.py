"""The NATS client, with the one part of it replaced that costs a consumer a quarter of its time."""

import re
from typing import Final

from nats.aio.client import Client

_SPACE: Final = re.compile(r"\s")


class NatsClient(Client):
    """Reads headers line by line, not character by character."""

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """Return headers by name; a line that is none is left out."""
        found = {}
        for line in raw.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            name = name.strip()
            if colon and name.isascii() and not _SPACE.search(name):
                found[name] = value.strip()
        return found
