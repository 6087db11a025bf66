"""What is told of each call: its metrics and its one log line."""

import logging
import time

from services.chassis.call import Call
from services.chassis.logs import MethodLog
from services.chassis.metrics import MethodMetrics
from services.chassis.status import Refusal

logger = logging.getLogger(__name__)


class Reporter:
    """Reports the calls of one method."""

    __slots__ = ("_log", "_metrics")

    def __init__(self, metrics: MethodMetrics, log: MethodLog) -> None:
        """Report to metrics and a log."""
        self._metrics, self._log = metrics, log

    def began(self) -> float:
        """Count a call that begins, and return when."""
        self._metrics.started()
        return time.perf_counter()

    def done(self, call: Call, started: float) -> None:
        """Report a call that was answered."""
        self._ended(call, started, "OK", "")

    def refused(self, call: Call, started: float, refusal: Refusal, error: Exception) -> None:
        """Report a call that failed; a bug gets its traceback in a line of its own."""
        if refusal.reference:
            fields = {"reference": refusal.reference, "method": call.method.full_name}
            logger.error("bug", exc_info=error, extra={"fields": fields})
        self._ended(call, started, refusal.code.name, refusal.reason, refusal.reference)

    def cancelled(self, call: Call, started: float) -> None:
        """Report a call whose caller left, or whose deadline the transport enforced first."""
        code = "CANCELLED" if call.remaining() > 0.0 else "DEADLINE_EXCEEDED"
        self._ended(call, started, code, "CALLER_LEFT")

    def _ended(self, call: Call, started: float, code: str, reason: str, reference: str = "") -> None:
        seconds = time.perf_counter() - started
        self._metrics.handled(code, seconds)
        principal = call.principal.subject if call.principal else ""
        self._log.call(code, reason, seconds, call.traceparent, principal, reference=reference)
