"""`python -m services`: what it lists, what it refuses, and how it goes on SIGTERM."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEIGHBOURS = ("identity", "catalog", "inventory", "payment", "order", "notification", "analytics")


def services(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Start `python -m services` with an environment of its own."""
    paths = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'gen'}"}
    command = [sys.executable, "-m", "services", *arguments]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**paths, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(*arguments: str, **environment: str) -> tuple[int, str, str]:
    with services(*arguments, **environment) as process:
        output, errors = process.communicate(timeout=30)
    return process.returncode, output, errors


def test_help_lists_every_service_and_setting():
    code, output, _ = outcome("--help")
    assert code == 0
    for word in (*NEIGHBOURS, "migrate", "audit", "events", "MESHMART_GRPC_LISTEN", "MESHMART_ORDER_DATABASE_URL"):
        assert word in output


def test_a_service_that_there_is_not_is_named():
    code, _, errors = outcome("ordre")
    assert (code, errors.splitlines()[0].startswith("no such service: ordre")) == (2, True)


def test_a_missing_setting_is_named_without_a_traceback():
    code, _, errors = outcome("storefront", MESHMART_GRPC_LISTEN="nowhere")
    assert code == 2
    assert "MESHMART_GRPC_LISTEN" in errors
    assert "MESHMART_ORDER_ADDRESS" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_it_with_success(number):
    addresses = {f"MESHMART_{name.upper()}_ADDRESS": "127.0.0.1:1" for name in NEIGHBOURS}
    listen = {"MESHMART_GRPC_LISTEN": "127.0.0.1:0", "MESHMART_HTTP_LISTEN": "127.0.0.1:0"}
    with services("storefront", **addresses, **listen) as process:
        assert process.stdout is not None
        assert '"serving"' in process.stdout.readline()
        process.send_signal(number)
        output, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")
    assert '"draining"' in output


def test_why_it_cannot_start_is_one_line():
    addresses = {f"MESHMART_{name.upper()}_ADDRESS": "127.0.0.1:1" for name in NEIGHBOURS}
    code, _, errors = outcome("storefront", **addresses, MESHMART_GRPC_LISTEN="192.0.2.1:1")
    assert code == 1
    assert errors.splitlines() == ["192.0.2.1:1 is taken, or is not an address of this machine"]
