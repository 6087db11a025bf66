"""`python -m scripts.local_run` as a user meets it."""

import json
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from scripts.local_run.ports import free_base
from scripts.local_run.process import ROOT
from tests.support.shops import temporary_state

COMMAND = [sys.executable, "-m", "scripts.local_run"]


@pytest.mark.slow
def test_the_command_says_where_the_shop_is_and_stops_all_of_it_on_sigterm():
    with temporary_state() as state:
        base = free_base()
        command = [*COMMAND, "--state", str(state), "--one-process", "--port", str(base)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            line = running.stdout.readline()
            noted = json.loads((state / "pids.json").read_text())
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0
        assert f"http://127.0.0.1:{base}" in line
        assert not [name for name, entry in noted.items() if psutil.pid_exists(entry["pid"])]


def test_a_taken_port_ends_the_command_with_a_sentence(tmp_path):
    base = free_base()
    with socket.create_server(("127.0.0.1", base)):
        command = [*COMMAND, "--state", str(tmp_path), "--port", str(base)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    sentence = f"port {base}, wanted for the edge, is taken: choose another base with --port\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence)
