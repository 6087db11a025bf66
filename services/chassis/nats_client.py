"""The NATS client, with two parts replaced: one costs a consumer a quarter of its time, one loses the broker for good."""

import re
from typing import Final

from nats.aio.client import Client

_SPACE: Final = re.compile(r"\s")


class NatsClient(Client):
    """Reads headers line by line, not character by character, and closes a lost connection to the end."""

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002  # as nats-py calls it
        """Close. What a lost connection had left to send is dropped: else it fails over it, half way, and tells nobody."""
        if not self.is_connected:
            self._pending, self._pending_data_size = [], 0
        await super()._close(status, do_cbs)

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
