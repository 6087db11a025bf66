"""Each service has its own database and role, and nobody else can enter."""

import psycopg
import pytest

from scripts.local_run.environment import database_url
from scripts.local_run.provision import provision
from scripts.local_run.secrets import load_secrets

MINE, THEIRS = "payment", "order"


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    return load_secrets(tmp_path_factory.mktemp("state"))


@pytest.fixture
def provisioned(postgres, secrets):
    passwords = {name: secrets.database(name) for name in (MINE, THEIRS)}
    provision(postgres.url(), passwords)
    yield postgres.url()
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        for name in passwords:
            connection.execute(f"DROP DATABASE meshmart_{name} WITH (FORCE)")
            connection.execute(f"ALTER ROLE meshmart_{name} PASSWORD 'test'")  # as the other fixtures have it


def test_a_service_owns_its_database(provisioned, secrets):
    with psycopg.connect(database_url(provisioned, MINE, secrets)) as connection:
        connection.execute("CREATE TABLE mine ()")
        connection.execute("CREATE EXTENSION pg_trgm")


def test_a_service_cannot_enter_the_database_of_another(provisioned, secrets):
    url = database_url(provisioned, MINE, secrets).replace(f"/meshmart_{MINE}?", f"/meshmart_{THEIRS}?")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(url)


def test_a_wrong_password_is_refused(provisioned, secrets):
    url = database_url(provisioned, MINE, secrets).replace(secrets.database(MINE), "guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


def test_provisioning_again_changes_nothing_but_passwords(provisioned, secrets):
    with psycopg.connect(database_url(provisioned, MINE, secrets)) as connection:
        connection.execute("CREATE TABLE kept ()")
    provision(provisioned, {MINE: "another"})
    url = database_url(provisioned, MINE, secrets).replace(secrets.database(MINE), "another")
    with psycopg.connect(url) as connection:
        connection.execute("SELECT FROM kept")


@pytest.mark.parametrize(
    "admin",
    ["postgresql://admin:pw@db.example:5432/postgres?sslmode=require", "postgresql://admin@/postgres?host=/tmp/x"],
)
def test_an_own_server_keeps_its_host_and_options(secrets, admin):
    url = database_url(admin, MINE, secrets)
    assert url == admin.replace("admin:pw@", "admin@").replace(
        "admin@", f"meshmart_{MINE}:{secrets.database(MINE)}@"
    ).replace("/postgres?", f"/meshmart_{MINE}?")
