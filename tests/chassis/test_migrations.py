"""Each service's database is brought to its newest revision, by one process at a time."""

import subprocess
import sys
import threading

import psycopg
import pytest
from alembic.script import ScriptDirectory

from services.chassis import migrations
from services.chassis.migrations import cli, runner

SERVICES = runner.services()
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
SCHEMA = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'public' ORDER BY 1, 2"""


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {row[0] for row in connection.execute(TABLES)}


def migrating_process(url: str) -> "subprocess.Popen[bytes]":
    """Migrate in a process of its own: Alembic keeps its context in globals."""
    program = f"from services.chassis import migrations; migrations.run('order', {url!r})"
    return subprocess.Popen([sys.executable, "-c", program])


@pytest.mark.parametrize("service", SERVICES)
def test_the_head_by_file_name_is_alembics(service):
    assert [migrations.head(service)] == ScriptDirectory.from_config(runner.config_of(service)).get_heads()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_is_migrated_from_nothing(service, database_url):
    url = await database_url()
    migrations.run(service, url)
    assert {"alembic_version", "idempotency", "outbox", "inbox"} < tables(url)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (migrations.head(service),)


async def test_migrating_again_changes_nothing(database_url):
    url = await database_url()
    with psycopg.connect(url) as connection:
        migrations.run("order", url)
        before = connection.execute(SCHEMA).fetchall()
        migrations.run("order", url)
        assert connection.execute(SCHEMA).fetchall() == before


async def test_two_at_once_do_it_once(database_url):
    url = await database_url()
    failures = []

    def migrate() -> None:
        try:
            migrations.run("order", url)
        except Exception as error:  # noqa: BLE001  # a thread's error would be lost
            failures.append(error)

    with psycopg.connect(url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (runner._LOCK,))
        other = migrating_process(url)
        thread = threading.Thread(target=migrate)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        assert tables(url) == set()
    thread.join()
    assert (other.wait(), failures) == (0, [])
    assert "outbox" in tables(url)


def test_a_process_that_serves_does_not_load_alembic():
    program = "import sys, services.chassis.hosted; print({'alembic', 'sqlalchemy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


async def test_a_migration_that_fails_leaves_nothing(database_url, tmp_path, monkeypatch):
    (tmp_path / "broken" / "migrations").mkdir(parents=True)
    (tmp_path / "broken" / "migrations" / "0001_initial.py").write_text(
        "from alembic import op\nrevision, down_revision = '0001', None\n"
        "def upgrade():\n    op.execute('CREATE TABLE half (id integer)')\n    op.execute('SELECT 1 / 0')\n"
    )
    monkeypatch.setattr(runner, "_SERVICES", tmp_path)
    url = await database_url()
    with pytest.raises(Exception, match="division by zero"):
        migrations.run("broken", url)
    assert tables(url) == set()


async def test_a_database_of_a_newer_version_is_left_alone(database_url):
    url = await database_url("order")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert migrations.run("order", url) == ("9999", "9999")


async def test_the_command_migrates_the_services_that_are_named(database_url, monkeypatch, capsys):
    for name in ("order", "catalog"):
        monkeypatch.setenv(f"MESHMART_{name.upper()}_DATABASE_URL", await database_url())
    assert cli.main(["order", "catalog"]) == 0
    order, catalog = capsys.readouterr().out.splitlines()
    assert order.startswith(f"order        nothing -> {migrations.head('order')} (")
    assert catalog.startswith(f"catalog      nothing -> {migrations.head('catalog')} (")
    assert cli.main(["order"]) == 0
    assert capsys.readouterr().out.startswith(f"order        is at {migrations.head('order')} (")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        pytest.param(["nobody"], 2, "no such database: nobody; there are:", id="an unknown service"),
        pytest.param(["order"], 2, "MESHMART_ORDER_DATABASE_URL: expected the database's URL", id="no address"),
        pytest.param(["payment"], 1, "payment: ", id="a database that is away"),
        pytest.param([], 0, "Usage: python -m services migrate", id="no service"),
    ],
)
def test_what_the_command_says_when_it_cannot(arguments, code, told, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("MESHMART_PAYMENT_DATABASE_URL", f"postgresql:///nowhere?host={tmp_path}")
    assert cli.main(arguments) == code
    output = capsys.readouterr()
    assert (output.out + output.err).startswith(told)
