"""`python -m scripts.local_run` as a user meets it."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from scripts.local_run.journal import Journal
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
        ended = run_with(tmp_path, "--port", str(base))
    assert ended == (1, "", f"port {base}, wanted for the edge, is taken: choose another base with --port\n")


def test_a_folder_where_a_shop_runs_is_left_alone(tmp_path):
    running = Journal(tmp_path)
    running.open()
    running.write({})
    ended = run_with(tmp_path)
    assert ended == (1, "", f"a shop runs already in {tmp_path}: stop it, or choose another --state\n")
    assert (tmp_path / "pids.json").exists()
    running.close()


def test_a_state_that_is_no_folder_ends_the_command_with_a_sentence(tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert run_with(file) == (1, "", f"{file} cannot be the state folder: File exists\n")


def run_with(state: Path, *arguments: str) -> tuple[int, str, str]:
    """Return what the command ends with, and what it says."""
    command = [*COMMAND, "--state", str(state), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr
