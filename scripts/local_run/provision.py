"""Roles and databases: each service has its own of both, and nobody else can enter."""

from collections.abc import Mapping

import psycopg
from psycopg import sql


def provision(admin_url: str, passwords: Mapping[str, str]) -> None:
    """Make what is missing for each service and set its password. Harmless to repeat."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        for service, password in passwords.items():
            name = f"meshmart_{service}"
            _role(connection, name, password)
            _database(connection, name)


def close_common(admin_url: str) -> None:
    """Let nobody but administrators into the databases that come with a server. Only for a server of our own."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC")


def _role(connection: psycopg.Connection, name: str, password: str) -> None:
    # Hashed here, so that no password can reach the server's log.
    verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    verb = "ALTER" if _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", name) else "CREATE"
    statement = sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}")
    connection.execute(statement.format(sql.SQL(verb), sql.Identifier(name), sql.Literal(verifier)))


def _database(connection: psycopg.Connection, name: str) -> None:
    database = sql.Identifier(name)
    if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", name):
        # A managed server's administrator is no superuser and must be a member to give a database away.
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(database))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, database))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))


def _exists(connection: psycopg.Connection, query: str, name: str) -> bool:
    return connection.execute(query.encode(), [name]).fetchone() is not None
