"""Lets processes and connections break when the plan says so, and mends them after."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.broker import Broker
from tests.simulation.links import Chance, Link
from tests.simulation.loop import Scheduler
from tests.simulation.plan import Fault
from tests.simulation.process import Process
from tests.simulation.trace import Trace

if TYPE_CHECKING:
    from tests.simulation.loop import Loop


class Faults:
    """What breaks in one schedule."""

    def __init__(
        self,
        scheduler: Scheduler,
        processes: Mapping[str, Process],
        links: Mapping[str, Link],
        broker: Broker,
        calls: Chance,
        trace: Trace,
    ) -> None:
        """Keep what may break."""
        self._scheduler, self._processes, self._links = scheduler, processes, links
        self._broker, self._calls, self._trace = broker, calls, trace
        self._outages: dict[str, int] = {}
        self._traps: dict[tuple[str, str], Fault] = {}
        self._wakers: dict[str, Callable[[], None]] = {}

    def plan(self, fault: Fault) -> None:
        """Have a fault happen when it is due."""
        if fault.point:
            self._traps[fault.target, fault.point] = fault
        else:
            self._scheduler.after(fault.at, partial(self._begin, fault))

    def calm(self) -> None:
        """Begin none any more."""
        self._traps.clear()

    def at(self, process: Process, point: str) -> bool:
        """Hit a process that has come to a point, if that is planned."""
        if point in self._wakers:
            self._scheduler.after(0.0, self._wakers.pop(point))
        if not self._traps:
            return False
        fault = self._traps.pop((process.kind.service.name, point), None)
        if fault is None or process.loop.dead or process.loop.paused:
            return False
        self._trace.say(process.name, "is hit {}", point)
        self._begin(replace(fault, target=process.name))
        return True

    def _begin(self, fault: Fault) -> None:
        {"kill": self._kill, "stop": self._stop, "pause": self._pause, "outage": self._cut}[fault.kind](fault)

    def _kill(self, fault: Fault) -> None:
        process = self._processes[fault.target]
        if process.loop.dead:
            return
        self._trace.say(fault.target, "is killed, for {} s", f"{fault.seconds:.1f}")
        process.loop.kill()
        self._scheduler.after(fault.seconds, process.start)

    def _stop(self, fault: Fault) -> None:
        """Let a process drain as on SIGTERM, and take its place."""
        process = self._processes[fault.target]
        if process.loop.dead or process.draining or process.loop.paused:
            return
        self._trace.say(fault.target, "is told to stop, and gone after {} s", f"{fault.seconds:.1f}")
        process.drain()
        self._scheduler.after(fault.seconds, partial(self._replace, process, process.loop))

    def _replace(self, process: Process, loop: "Loop") -> None:
        if not loop.dead:
            loop.kill()
            process.start()

    def _pause(self, fault: Fault) -> None:
        loop = self._processes[fault.target].loop
        if loop.dead or loop.paused:
            return
        self._trace.say(fault.target, "is paused, for {} s", f"{fault.seconds:.1f}")
        loop.pause()
        if fault.storm:
            self._calls.storm()
        wake = partial(self._wake, fault.target, loop)
        self._scheduler.after(fault.seconds, wake)
        if fault.until:
            self._wakers[f"after {fault.until}"] = wake

    def _wake(self, name: str, loop: "Loop") -> None:
        self._calls.clear()
        if loop.paused and not loop.dead:
            self._trace.say(name, "wakes")
            loop.wake()

    def _cut(self, fault: Fault) -> None:
        self._trace.say(fault.target, "is away, for {} s", f"{fault.seconds:.1f}")
        self._outages[fault.target] = self._outages.get(fault.target, 0) + 1
        self._links[fault.target].down = True
        self._scheduler.after(fault.seconds, partial(self._mend, fault.target))

    def _mend(self, name: str) -> None:
        self._outages[name] -= 1
        if self._outages[name]:
            return
        self._trace.say(name, "is back")
        self._links[name].down = False
        self._broker.flush()
