"""What the README files say is there, is there; what is there, they say."""

import re
import subprocess

import pytest
import yaml

from scripts.generate import readme
from scripts.local_run.ports import SERVICES, Ports
from services.chassis import refusals
from services.chassis.errors import DomainError
from services.chassis.run import declaration, names
from services.chassis.settings import help_text
from services.payment.processor import BEHAVIOURS
from tests.readme.page import PAGES, README, ROOT, anchors, code, links, prose, section, table

PROCESS, WISH = "MESHMART_POSTGRES_URL", "wishlist"
LINKS = [pytest.param(page, link, id=f"{page.relative_to(ROOT)}-{link}") for page in PAGES for link in links(page)]
EDGE = list(yaml.safe_load_all((ROOT / "envoy" / "edge.yaml").read_text()))[2]


def tracked() -> list[str]:
    """Return the files in git."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def first_code(rows: list[list[str]]) -> list[str]:
    """Return what stands as code in the first cell of each row."""
    return [name for row in rows for name in code(row[0])]


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_a_link_leads_somewhere(page, link):
    if link.startswith("https://"):
        return
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    assert target.exists()
    assert not anchor or anchor in anchors(target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_file_that_is_named_exists(page):
    named = {word for text in code(prose(page)) for word in re.findall(r"[\w.-]+(?:/[\w.-]+)+", text)}
    ours = {name for name in named if (ROOT / name.split("/")[0]).is_dir() and not name.startswith("gen/")}
    assert [name for name in sorted(ours) if WISH not in name and not (ROOT / name).exists()] == []


def test_the_folders_are_those_in_the_repository():
    folders = {name.partition("/")[0] for name in tracked() if "/" in name}
    assert set(first_code(table(README, "## Folders"))) == folders | {"gen"}


def test_the_graph_is_the_contracts():
    assert readme.is_current()


@pytest.mark.parametrize("mark", ["graph:begin", "graph:end", "bench:begin", "bench:end"])
def test_a_mark_that_scripts_look_for_stands_once(mark):
    assert README.read_text().count(f"<!-- {mark} -->") == 1


def test_each_promise_names_its_test():
    rows = table(README, "## Where each promise is tested")
    assert [row for row in rows if not re.search(r"\]\(tests/|`scripts/", row[1])] == []


@pytest.mark.parametrize("row", table(README, "## What happens when"), ids=lambda row: row[0])
def test_each_fault_names_tests_that_exist(row):
    named = re.findall(r'\]\((\S+) "(\w+)"\)', row[3])
    assert named
    assert [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text()] == []


def test_the_ports_are_those_of_the_local_run():
    ports = Ports()
    shown = {row[0]: row[2] for row in table(README, "## Ports") if row[2]}
    assert shown == {
        "edge: REST and gRPC": str(ports.edge),
        "Envoy's admin page": str(ports.edge_admin),
        "NATS": str(ports.nats),
        **{f"{name}: gRPC, HTTP": f"{ports.grpc(name)}, {ports.http(name)}" for name in SERVICES},
    }


def test_the_cards_are_those_of_the_processor():
    shown = [row[0].replace(" ", "") for row in table(README, "## Test cards")]
    assert sorted(shown) == sorted([*BEHAVIOURS, "4242424242424242"])


def test_the_reasons_are_those_of_the_chassis_and_the_edge():
    ours = {
        (kind.reason, kind.kind.value)
        for kind in vars(refusals).values()
        if isinstance(kind, type) and issubclass(kind, DomainError) and kind is not DomainError
    }
    edge = {(refusal["reason"], refusal["code"]) for refusal in EDGE}
    shown = {(row[0].strip("`"), row[1]) for row in table(README, "## Errors")}
    assert shown == ours | edge


def test_the_settings_that_are_named_exist():
    known = help_text([declaration(name) for name in names()])
    named = {word for page in PAGES for word in re.findall(r"\b(?:MESHMART|OTEL)_[A-Z_]+\b", prose(page))}
    assert [name for name in sorted(named - {PROCESS}) if name not in known and "NATS_PASSWORD" not in name] == []


def test_the_services_are_those_that_are_declared():
    page = ROOT / "services" / "README.md"
    assert set(first_code(table(page, "# Services"))) == set(names())


@pytest.mark.parametrize("name", names())
def test_a_service_calls_whom_its_row_names(name):
    (row,) = [row for row in table(ROOT / "services" / "README.md", "# Services") if row[0] == f"`{name}`"]
    called = set(declaration(name).neighbours) if name != "storefront" else set()  # it only watches their health
    assert row[2] == (", ".join(sorted(called)) or "nobody")


def test_every_module_of_the_chassis_is_on_its_map():
    page = ROOT / "services" / "chassis" / "README.md"
    shown = [name for name in code(section(page, "# The chassis")) if re.fullmatch(r"\w+\.py|migrations/", name)]
    there = {path.name for path in page.parent.glob("*.py")} - {"__init__.py"} | {"migrations/"}
    assert set(shown) == there


def test_every_command_and_folder_of_scripts_is_listed():
    text = (ROOT / "scripts" / "README.md").read_text()
    there = {name.split("/")[1] for name in tracked() if name.startswith("scripts/")} - {"README.md", "__init__.py"}
    assert [name for name in sorted(there) if f"`{name}`" not in text] == []


def test_every_folder_of_tests_is_listed():
    there = {name.split("/")[1] for name in tracked() if re.match(r"tests/[^/]+/", name)}
    assert set(first_code(table(ROOT / "tests" / "README.md", "# Tests"))) == there
