"""Makes everything in this process that is not our own depend on the seed: ids, the global generator, logs."""

import gc
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any, Final

from services.chassis import ids

START: Final = 1_790_000_000
"""Zero seconds of virtual time, in Unix time."""


@contextmanager
def determined(seed: int, now: Callable[[], float], logged: Callable[[logging.LogRecord], None]) -> Iterator[None]:
    """Give ids and the global generator a seed, hear of errors that are logged, and write no logs."""
    own: Any = ids
    kept, state = (own.os, own.time), random.getstate()
    own.os = SimpleNamespace(urandom=Random(seed).randbytes)  # noqa: S311  # not a secret
    own.time = SimpleNamespace(time_ns=lambda: int((START + now()) * 1e9))
    random.seed(seed)
    collecting = gc.isenabled()
    gc.disable()  # it would find cycles at another step each time
    try:
        with _listening(logged):
            yield
    finally:
        if collecting:
            gc.enable()
        random.setstate(state)
        own.os, own.time = kept


@contextmanager
def _listening(logged: Callable[[logging.LogRecord], None]) -> Iterator[None]:
    logger, listener = logging.getLogger("services"), _Listener(logged)
    kept = logger.propagate, logger.level
    logger.propagate = False
    logger.setLevel(logging.ERROR)
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.propagate = kept[0]
        logger.setLevel(kept[1])


class _Listener(logging.Handler):
    """Hands records on."""

    def __init__(self, logged: Callable[[logging.LogRecord], None]) -> None:
        """Say to whom."""
        super().__init__(logging.ERROR)
        self._logged = logged

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record on."""
        self._logged(record)
