"""Password hashes: argon2id, in threads of their own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import VerificationError

from services.identity.domain import canonical_password

T = TypeVar("T")

TIME_COST = 2
MEMORY_KIB = 19 * 1024
PARALLELISM = 1
"""The parameters that OWASP's Password Storage Cheat Sheet recommends for argon2id (19 MiB, 2 passes, 1 lane)."""


class ArgonPasswords:
    """Makes and checks argon2id hashes, at most `threads` at once, since each takes 19 MiB while it runs."""

    def __init__(self, threads: int) -> None:
        """Prepare the threads and the hash that stands in for that of an unknown customer."""
        self._hasher = PasswordHasher(TIME_COST, MEMORY_KIB, PARALLELISM, type=Type.ID)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._nobody = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        """Return the argon2id hash of a password in PHC string format."""
        return await self._run(lambda: self._hasher.hash(canonical_password(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Return whether the password made the hash. Without a hash it takes as long, and the answer is False."""
        return await self._run(lambda: self._matches(password_hash, canonical_password(password)))

    def _matches(self, password_hash: str | None, password: str) -> bool:
        try:
            self._hasher.verify(password_hash or self._nobody, password)
        except VerificationError:
            return False
        return password_hash is not None

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
