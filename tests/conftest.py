"""Real parts for every test: one PostgreSQL and one NATS per run, a fresh database and empty streams per test."""

import os

import pytest

pytest_plugins = ["tests.support.databases", "tests.support.broker", "tests.support.serving", "tests.support.shops"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Nothing is skipped in CI: a skip is a failure there."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CI=true allows no skips: {report.longrepr}"
    return report
