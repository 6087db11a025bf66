"""Prometheus metrics. What a call touches is a plain number in a slot; Prometheus's types are made when it asks.

prometheus_client's own Counter and Histogram take a lock per update, for threads that do not exist here; a call
would pay four times as much. One event loop, so `+=` is enough.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Final, Literal

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends of the buckets of every duration, in seconds."""

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[tuple[str, str], ...]


class Counter:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        """Start at zero."""
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add to it."""
        self.value += amount


class Histogram:
    """Durations in buckets."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        """Start empty."""
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return the buckets as Prometheus wants them: cumulative, the last without end."""
        ends = [*map(str, BOUNDS), "+Inf"]
        return list(zip(ends, map(float, accumulate(self.counts)), strict=True))


class MethodMetrics:
    """Rate, errors and durations of one method, on one side."""

    __slots__ = ("codes", "durations", "in_flight")

    def __init__(self) -> None:
        """Start at zero, with the series that every dashboard asks for."""
        self.codes: defaultdict[str, int] = defaultdict(int, OK=0)
        self.durations = Histogram()
        self.in_flight = 0

    def started(self) -> None:
        """Count a call that begins."""
        self.in_flight += 1

    def handled(self, code: str, seconds: float) -> None:
        """Count a call that ended, by the name of its status code."""
        self.in_flight -= 1
        self.codes[code] += 1
        self.durations.observe(seconds)


class Family:
    """The series of one name, each with its own labels."""

    def __init__(self, kind: Kind, name: str, documentation: str) -> None:
        """Name it."""
        self.kind, self.name, self.documentation = kind, name, documentation
        self.series: dict[Labels, Callable[[], float] | Histogram] = {}

    def metric(self) -> Metric:
        """Return what Prometheus reads."""
        metric = Metric(self.name, self.documentation, self.kind)
        for labels, source in self.series.items():
            if isinstance(source, Histogram):
                for end, count in source.buckets():
                    metric.add_sample(f"{self.name}_bucket", {**dict(labels), "le": end}, count)
                metric.add_sample(f"{self.name}_count", dict(labels), float(sum(source.counts)))
                metric.add_sample(f"{self.name}_sum", dict(labels), source.total)
            else:
                suffix = "_total" if self.kind == "counter" else ""
                metric.add_sample(f"{self.name}{suffix}", dict(labels), float(source()))
        return metric


class Metrics:
    """All metrics of one process."""

    def __init__(self) -> None:
        """Start with the process's own: memory, CPU, open files."""
        self.registry = CollectorRegistry(auto_describe=False)
        self._families: dict[str, Family] = {}
        self._methods: dict[tuple[str, Labels], MethodMetrics] = {}
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Return every metric; prometheus_client calls it when somebody asks."""
        for side in ("server", "client"):
            yield from self._of_methods(side)
        for family in self._families.values():
            yield family.metric()

    def server_method(self, full_name: str) -> MethodMetrics:
        """Return the metrics of a method served here, by its path on the wire."""
        return self._methods.setdefault(("server", _method_labels(full_name)), MethodMetrics())

    def client_method(self, caller: str, full_name: str) -> MethodMetrics:
        """Return the metrics of a method that a service hosted here calls."""
        labels = (("caller", caller), *_method_labels(full_name))
        return self._methods.setdefault(("client", labels), MethodMetrics())

    def of(self, service: str) -> "ServiceMetrics":
        """Return where a service adds metrics of its own; each gets the label `service`."""
        return ServiceMetrics(self, service)

    def family(self, kind: Kind, name: str, documentation: str) -> Family:
        """Return the family of a name, which several services of the process may share."""
        family = self._families.setdefault(name, Family(kind, name, documentation))
        if family.kind != kind:
            raise ValueError(f"the metric {name} exists already with another type")
        return family

    def text(self) -> bytes:
        """Return what /metrics answers."""
        return generate_latest(self.registry)

    def _of_methods(self, side: str) -> Iterable[Metric]:
        prefix, verb = f"grpc_{side}", "served" if side == "server" else "made"
        handled = Metric(f"{prefix}_handled", f"Calls {verb}, by status code.", "counter")
        seconds = Family("histogram", f"{prefix}_handling_seconds", f"Durations of the calls {verb}.")
        in_flight = Metric(f"{prefix}_in_flight", f"Calls being {verb} now.", "gauge")
        for (of_side, labels), method in self._methods.items():
            if of_side == side:
                for code, count in method.codes.items():
                    handled.add_sample(f"{prefix}_handled_total", {**dict(labels), "code": code}, float(count))
                seconds.series[labels] = method.durations
                in_flight.add_sample(f"{prefix}_in_flight", dict(labels), float(method.in_flight))
        return handled, seconds.metric(), in_flight


def _method_labels(full_name: str) -> Labels:
    service, method = full_name.lstrip("/").split("/")
    return (("service", service), ("method", method))


class ServiceMetrics:
    """Where a service adds metrics of its own."""

    def __init__(self, metrics: Metrics, service: str) -> None:
        """Add to the metrics of the process, under the service's name."""
        self._metrics, self._service = metrics, service

    def counter(self, name: str, documentation: str, **labels: str) -> Counter:
        """Return a new counter; `_total` is added to its name."""
        counter = Counter()
        family = self._metrics.family("counter", name, documentation)
        family.series[self._labels(labels)] = lambda: counter.value
        return counter

    def gauge(self, name: str, documentation: str, read: Callable[[], float], **labels: str) -> None:
        """Add a number that is read when somebody asks for it."""
        family = self._metrics.family("gauge", name, documentation)
        family.series[self._labels(labels)] = read

    def histogram(self, name: str, documentation: str, **labels: str) -> Histogram:
        """Return a new histogram of durations in seconds."""
        histogram = Histogram()
        family = self._metrics.family("histogram", name, documentation)
        family.series[self._labels(labels)] = histogram
        return histogram

    def _labels(self, labels: Mapping[str, str]) -> Labels:
        return (("service", self._service), *sorted(labels.items()))
