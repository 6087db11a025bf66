"""What a measurement ran on, and what processes cost there."""

import platform
from collections.abc import Iterable
from pathlib import Path

import psutil


def described() -> str:
    """Return processor, cores, memory, kernel and Python, without the machine's name."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{psutil.cpu_count()} cores of {_processor()}, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in _lines(info) if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the processor time that processes have used so far, with that of their threads."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(time.user + time.system for time in times)


def proportional_memory(pids: Iterable[int]) -> int:
    """Return the bytes of memory of processes and their children; shared pages are counted once (PSS)."""
    roots = [psutil.Process(pid) for pid in pids]
    family = {process for root in roots for process in (root, *root.children(recursive=True))}
    return sum(map(_proportional_memory, family))


def _proportional_memory(process: psutil.Process) -> int:
    try:
        pss: int = process.memory_full_info().pss
    except psutil.NoSuchProcess:  # PostgreSQL's workers come and go
        return 0
    return pss
