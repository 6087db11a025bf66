"""`python -m services audit`: exit code 0 when every invariant holds, 1 with the offending ids otherwise."""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import psycopg
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.audit.facts import read
from services.audit.invariants import RULES, STOCK_RULES

LOOKS = 3
"""How often a finding is looked at: databases read one after the other may disagree for a moment."""
BETWEEN_LOOKS = 1.0


class DatabaseSettings(BaseSettings):
    """Where the databases are."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="MESHMART_")

    order_database_url: SecretStr
    payment_database_url: SecretStr
    inventory_database_url: SecretStr

    @property
    def urls(self) -> list[str]:
        """The addresses of order, payment and inventory, in this order."""
        urls = (self.order_database_url, self.payment_database_url, self.inventory_database_url)
        return [url.get_secret_value() for url in urls]


class Finding(NamedTuple):
    """A rule that is broken, by whom, and how."""

    rule: str
    subject: str
    detail: str


class Report(NamedTuple):
    """What one look found."""

    orders: int
    findings: dict[tuple[str, str], Finding]


def main(arguments: Sequence[str]) -> int:
    """Audit the databases that MESHMART_<SERVICE>_DATABASE_URL name."""
    parser = argparse.ArgumentParser(prog="python -m services audit", description=__doc__)
    parser.add_argument(
        "--settle", type=float, default=30.0, help="seconds after which an order must have moved on (30)"
    )
    settle = parser.parse_args(arguments).settle
    report = audit(_settings().urls, settle)
    print(render(report))  # noqa: T201  # the command's answer
    return 1 if report.findings else 0


def _settings() -> DatabaseSettings:
    try:
        return DatabaseSettings()  # type: ignore[call-arg]  # the environment gives them
    except ValidationError as error:
        missing = ", ".join(f"MESHMART_{detail['loc'][0]}".upper() for detail in error.errors())
        raise SystemExit(f"{missing}: expected the PostgreSQL URL of that service") from None


def audit(urls: Sequence[str], settle: float = 30.0) -> Report:
    """Look until nothing is found, or the same is found each time. `urls` are those of order, payment and inventory."""
    report = _look(urls, settle)
    for _ in range(LOOKS - 1):
        if not report.findings:
            break
        time.sleep(BETWEEN_LOOKS)
        again = _look(urls, settle)
        report = Report(again.orders, {key: again.findings[key] for key in report.findings if key in again.findings})
    return report


def _look(urls: Sequence[str], settle: float) -> Report:
    with ExitStack() as stack:
        order, payment, inventory = (stack.enter_context(psycopg.connect(url)) for url in urls)
        orders, found = 0, _stock(inventory)
        for facts in read(order, payment, inventory, settle):
            orders += facts.order is not None
            for rule in RULES:
                if detail := rule(facts):
                    found.append(Finding(rule.__name__, str(facts.order_id), detail))
        return Report(orders, {(finding.rule, finding.subject): finding for finding in found})


def _stock(inventory: psycopg.Connection) -> list[Finding]:
    return [
        Finding(rule, str(product_id), detail)
        for rule, statement in STOCK_RULES.items()
        for product_id, detail in inventory.execute(statement)
    ]


def render(report: Report) -> str:
    """Return a line for each rule, and one for each finding."""
    broken = Counter(finding.rule for finding in report.findings.values())
    rules = [rule.__name__ for rule in RULES] + list(STOCK_RULES)
    lines = [f"audit of {report.orders} orders"]
    lines += [
        f"  {rule.replace('_', ' '):<34} {f'BROKEN by {broken[rule]}' if broken[rule] else 'holds'}" for rule in rules
    ]
    lines += [f"{finding.rule}: {finding.subject} {finding.detail}" for finding in report.findings.values()]
    return "\n".join(lines)
