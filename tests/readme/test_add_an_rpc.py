"""The steps of "Add an RPC", followed to the letter in a copy of the repository."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.readme.page import README, ROOT, blocks

COPIED = ("protos", "services", "scripts", "tests", "envoy", "pyproject.toml", "buf.yaml", "buf.gen.yaml")
SILENT, MESSAGES, REFUSAL, SPOKEN, QUERY, HANDLER, TEST = [
    block.text for block in blocks(README) if block.heading == "## Add an RPC"
]
PROTO, STORE, API = (
    "protos/meshmart/catalog/v1/catalog_service.proto",
    "services/catalog/store.py",
    "services/catalog/api.py",
)
TESTS = "tests/catalog/test_api.py"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """Return a copy of the repository."""
    folder: Path = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def test_the_steps_lead_to_a_method_that_is_served(copy):
    original = (copy / PROTO).read_text()
    (copy / PROTO).write_text(above(original, "  // Creates a product.", SILENT) + "\n" + MESSAGES)
    refused = run(copy, "scripts.generate")
    assert (refused.returncode, refused.stderr) == (1, REFUSAL)

    (copy / PROTO).write_text(above(original, "  // Creates a product.", SPOKEN) + "\n" + MESSAGES)
    for name, mark, text in ((STORE, "    async def search(", QUERY), (API, "    async def CreateProduct(", HANDLER)):
        (copy / name).write_text(above((copy / name).read_text(), mark, text))
    (copy / TESTS).write_text((copy / TESTS).read_text() + "\n\n" + TEST)

    done(run(copy, "scripts.generate"))
    done(run(copy, "scripts.generate.lint"))
    done(run(copy, "ruff", "check", "services/catalog", TESTS))
    done(run(copy, "ruff", "format", "--check", "services/catalog", TESTS))
    done(run(copy, "pytest", "-q", "-p", "no:cacheprovider", TESTS, "-k", "the_categories"))
    assert facts(copy) == {"access": "PUBLIC", "timeout": "1s", "retry": True, "path": "/v1/categories"}
    for file in ("service_config.json", "openapi.yaml"):
        assert "ListCategories" in (copy / "gen" / "mesh" / file).read_text()


def above(text: str, mark: str, added: str) -> str:
    """Return a text with a part put above a mark."""
    before, found, after = text.partition(mark)
    assert found, f"{mark!r} is not there any more"
    indent = mark[: len(mark) - len(mark.lstrip())]
    shifted = "".join(indent + line if line.strip() else line for line in added.splitlines(keepends=True))
    return f"{before}{shifted}\n{found}{after}"


def run(copy: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python module in the copy."""
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": f"{copy}:{copy / 'gen'}"}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)


def done(process: subprocess.CompletedProcess[str]) -> None:
    """Check that a command ended well."""
    assert process.returncode == 0, process.stdout + process.stderr


def facts(copy: Path) -> dict[str, object]:
    """Return what the edge was told of the method."""
    methods = json.loads((copy / "gen" / "mesh" / "envoy.json").read_text())["methods"]
    (method,) = [method for method in methods if method["name"].endswith(".ListCategories")]
    told = {key: method[key] for key in ("access", "timeout", "retry")}
    return {**told, "path": method["http"][0]["path"]}
