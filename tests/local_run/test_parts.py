"""What the parts of a local run promise before any of them is started."""

import socket
import stat
import sys
from importlib import import_module

import pytest

from scripts.local_run.environment import environment, exports, operator_environment
from scripts.local_run.ports import SERVICES, STATELESS, Ports, PortTakenError, free_base
from scripts.local_run.program import Program, ProgramError
from scripts.local_run.secrets import load_secrets


def test_the_table_of_ports_says_what_the_declarations_say():
    declared = {name: import_module(f"services.{name}.service").SERVICE for name in SERVICES}
    assert {name: service.index for name, service in declared.items()} == SERVICES
    assert {name for name, service in declared.items() if not service.has_database} == STATELESS


@pytest.mark.parametrize(
    ("offset", "purpose"),
    [(0, "the edge"), (1, "Envoy's admin"), (2, "NATS"), (18, "order's gRPC"), (19, "order's HTTP")],
)
def test_a_taken_port_is_named_with_what_wanted_it(offset, purpose):
    base = free_base()
    named = f"port {base + offset}, wanted for {purpose}, is taken"
    with socket.create_server(("127.0.0.1", base + offset)), pytest.raises(PortTakenError, match=named):
        Ports(base).check()


def test_one_process_needs_only_one_pair_of_ports():
    base = free_base()
    with socket.create_server(("127.0.0.1", base + 18)):
        Ports(base, one_process=True).check()


def test_secrets_are_made_once_and_are_the_owners_own(tmp_path):
    first = load_secrets(tmp_path)
    assert load_secrets(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert len(set(first.values.values())) == len(first.values)


def test_a_program_that_ends_early_is_reported_in_its_own_words(tmp_path):
    program = Program("parrot", [sys.executable, "-c", "raise SystemExit('bereft of life')"], tmp_path / "log")
    with pytest.raises(ProgramError, match="parrot ended with status 1:\n  bereft of life"):
        program.start(lambda _: False)


def test_a_program_that_is_never_ready_is_stopped(tmp_path):
    program = Program("sloth", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
    with pytest.raises(ProgramError, match="sloth was not ready within"):
        program.start(lambda _: False, timeout=0.1)
    assert not program.running


def test_only_who_runs_commands_by_hand_is_told_the_operators_password(tmp_path):
    secrets, variable = load_secrets(tmp_path), "MESHMART_OPERATOR_NATS_PASSWORD"
    parts = (Ports(), secrets, "postgresql://admin@/postgres?host=/tmp")
    assert all(variable not in environment([name], *parts) for name in SERVICES)
    assert operator_environment(*parts)[variable] == secrets.nats("operator")
    assert f"export {variable}=" in exports(*parts)


def test_a_service_is_not_told_what_the_user_set_for_another(tmp_path, monkeypatch):
    variable = "MESHMART_NOTIFICATION_SMTP_PASSWORD"
    monkeypatch.setenv(variable, "secret")
    parts = (Ports(), load_secrets(tmp_path), "postgresql://admin@/postgres?host=/tmp")
    assert [name for name in SERVICES if variable in environment([name], *parts)] == ["notification"]
