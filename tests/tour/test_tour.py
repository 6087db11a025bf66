"""The tour as a user meets it: `scripts/demo` without the setup."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil
import pytest

from scripts.local_run.ports import free_base
from scripts.local_run.process import ROOT
from tests.support.shops import temporary_state

COMMAND = [sys.executable, "-m", "scripts.tour"]
STOPS = [
    "A customer registers, signs in and looks for a teapot",
    "Buys over REST: POST /v1/orders",
    "Buys over gRPC on the same port, and watches the stream",
    "Sends one request five times at once: one order",
    "Pays with a card that is declined: the saga gives everything back",
    "Orders while {victim} is killed (SIGKILL): no order is lost",
    "Loses a table of notification, and buys: an event that cannot be handled",
    "The event trail of the first order",
    "Rebuilds analytics from all events, while it goes on answering",
    "Finds the parked event, mends notification, gives the event back",
    "Audits the invariants across the databases",
]
STOP = re.compile(r"^ ?\d+  (.+)\n(?:    .+\n)*    ok +\d+ ms$", re.MULTILINE)
LAST_LINE = "The shop stays open until Ctrl-C.\n"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def state() -> Iterator[Path]:
    with temporary_state() as folder:
        yield folder


def _lines_until(last: str, printed: IO[str]) -> Iterator[str]:
    seen = []
    for line in printed:
        seen.append(line)
        yield line
        if line == last:
            return
    pytest.fail(f"the tour ended without {last!r}:\n{''.join(seen)}")


def _running(state: Path) -> dict[str, int]:
    """Return the processes of a shop by its own note."""
    return {name: entry["pid"] for name, entry in json.loads((state / "pids.json").read_text()).items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "victim"),
    [
        pytest.param([], "payment", id="separate processes"),
        pytest.param(["--one-process"], "the whole process", id="one process"),
    ],
)
def test_the_tour_makes_every_stop_and_ends_well(state, options, victim):
    command = [*COMMAND, "--once", "--port", str(free_base()), "--state", str(state), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert STOP.findall(done.stdout) == [stop.format(victim=victim) for stop in STOPS]
    assert "\033" not in done.stdout
    assert LAST_LINE not in done.stdout
    assert not (state / "pids.json").exists()


@pytest.mark.slow
def test_ctrl_c_closes_the_shop_and_leaves_nothing_behind(state):
    command = [*COMMAND, "--port", str(free_base()), "--state", str(state)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as tour:
        assert tour.stdout is not None
        printed = "".join(_lines_until(LAST_LINE, tour.stdout))
        pids = _running(state)
        tour.send_signal(signal.SIGINT)
        rest = tour.stdout.read()
        assert tour.wait(30) == 0, rest
    assert len(STOP.findall(printed)) == len(STOPS)
    assert {"postgres", "nats", "edge", "order"} < set(pids)
    assert [name for name, pid in pids.items() if psutil.pid_exists(pid)] == []
    assert rest == ""


def test_a_taken_port_is_named(tmp_path):
    base = free_base()
    with socket.create_server(("127.0.0.1", base + 2)):
        command = [*COMMAND, "--once", "--port", str(base), "--state", str(tmp_path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert f"port {base + 2}, wanted for NATS, is taken: choose another base with --port" in done.stdout
