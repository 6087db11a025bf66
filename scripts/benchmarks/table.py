"""Results as the README shows them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def write(results: Mapping[str, Any]) -> None:
    """Put the results between the README's marks."""
    text = README.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    README.write_text(f"{before}{BEGIN}\n{render(results)}\n{END}{after}")


def render(results: Mapping[str, Any]) -> str:
    """Return a table with a row for each figure and its bound, and what they were measured on."""
    rows = "\n".join(f"| {what} | {bound} | {measured} |" for what, bound, measured in _rows(results))
    return f"| what | bound | measured |\n|---|---|---|\n{rows}\n\nMeasured by `scripts/bench` on {results['machine']}."


def _rows(results: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if chassis := results.get("chassis"):
        yield (
            "unary call through the whole chassis, calls/s against bare grpc.aio with uvloop",
            f"at least {chassis['target']:.0%}",
            f"{chassis['ratio']:.0%}",
        )
    if orders := results.get("orders"):
        yield from _order_rows(orders)
    if events := results.get("events"):
        yield from _event_rows(events)
    if notified := results.get("notified"):
        yield (
            "order confirmed to notification recorded, idle, p99 (median)",
            f"at most {notified['target']:.0f} ms",
            f"{notified['p99_milliseconds']:.0f} ms ({notified['p50_milliseconds']:.0f} ms)",
        )
    if replay := results.get("replay"):
        yield (
            f"replay of {replay['events']:,} order events into analytics",
            f"{replay['target']:.0f} s",
            f"{replay['seconds']:.1f} s",
        )
    if startup := results.get("startup"):
        yield "`scripts/demo` from installed, first order done", "10 s", f"{startup['first_order_seconds']:.1f} s"


def _event_rows(events: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    relay, consumer = events["relay"], events["consumer"]
    yield (
        "outbox to stream, one relay, against plain JetStream publishing with acks, 16 in flight",
        f"at least {relay['target']:.0%}",
        f"{relay['ratio']:.0%} ({relay['relay_per_second']:,}/s)",
    )
    yield (
        "consumer with inbox and one effect row, one process (CPU of the process per event)",
        f"at least {consumer['target']:,}/s",
        f"{consumer['per_second']:,}/s ({consumer['cpu_microseconds']} us)",
    )


def _order_rows(orders: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    names = {"separate": "separate processes", "one_process": "one process"}
    scope = {
        "separate": "separate processes, without those that only listen",
        "one_process": "one process, with those that only listen",
    }
    for kind, name in scope.items():
        yield (
            f"CPU of the services per durable order, in bare unary calls, {name}",
            f"at most {orders['targets'][kind]:.0f}",
            f"{orders['calls_per_order'][kind]:.1f}",
        )
    if "listeners" in orders["calls_per_order"]:
        yield (
            "the same of those that only listen: notification (told and sent) and analytics, separate processes",
            "-",
            f"{orders['calls_per_order']['listeners']:.1f}",
        )
    if "stored_ratio" in orders:
        yield (
            f"the same with {orders['stored']:,} orders stored against a thousand",
            f"at most {orders['targets']['stored']} times",
            f"{orders['stored_ratio']:.2f} times",
        )
    for kind, name in names.items():
        yield (
            f"memory (PSS) of the whole shop with PostgreSQL, NATS and Envoy, {name}",
            f"{orders['memory_targets'][kind]} MB",
            f"{orders['memory_megabytes'][kind]} MB",
        )
