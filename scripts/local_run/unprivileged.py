"""A user that is not root, and folders it can reach: PostgreSQL refuses to run as root."""

import hashlib
import os
import pwd
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

_HOME = Path("/var/lib/meshmart")
_BECOME = """
import os, sys
user = int(sys.argv[1])
os.setgroups([])
os.setgid(user)
os.setuid(user)
os.execv(sys.argv[2], sys.argv[2:])
"""


def unprivileged_user() -> int | None:
    """Return the user id to run PostgreSQL as; None when we are not root and run it as ourselves."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def as_user(user: int | None, command: Iterable[str | Path]) -> list[str]:
    """Return the command that becomes a user for good and then is what was asked for; as ourselves where it is None.

    With its own `user` subprocess forks, and a child forked while gRPC has threads was seen to die of SIGSEGV.
    """
    words = [str(word) for word in command]
    return words if user is None else [sys.executable, "-I", "-S", "-c", _BECOME, str(user), *words]


def reachable(path: Path) -> bool:
    """Return whether any user may enter each folder above a path."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def data_folder(wanted: Path, user: int | None) -> Path:
    """Return a folder that the user owns: the wanted one, or a link there to one outside a home that is closed to it."""
    if user is None:
        wanted.mkdir(parents=True, exist_ok=True, mode=0o700)
        return wanted
    wanted.parent.mkdir(parents=True, exist_ok=True)
    folder = wanted if reachable(wanted) else _linked(wanted)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.chown(folder, user, user)
    return folder


def _linked(wanted: Path) -> Path:
    folder = _HOME / hashlib.sha256(str(wanted.resolve().parent).encode()).hexdigest()[:12] / wanted.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not wanted.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)  # of a state folder that somebody has deleted since
        wanted.symlink_to(folder)
    return folder


def reachable_copy(package: Path, libraries: Path, version: str, user: int | None) -> Path:
    """Return the package's folder, or a copy (made once per version, libraries beside it) that the user can reach."""
    if user is None or reachable(package):
        return package
    copy = _HOME / version
    if not copy.exists():
        part = _HOME / f".{version}.{os.getpid()}"
        for source in (package, libraries):
            if source.exists():
                shutil.copytree(source, part / source.name, symlinks=True)
        part.rename(copy)
    return copy / package.name
