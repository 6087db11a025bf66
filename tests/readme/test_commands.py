"""Every command of the README files does what is said of it.

Those that set up, tour, test and measure are tests, or have tests, of their own (`.ci/run`, `tests/tour`); here they must
exist and know the options shown. All others are run against the open shop. curl and grpcurl are run as they are
installed, and once more by stand-ins, which a machine without them has to do with.
"""

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from scripts.local_run.ports import DEFAULT_BASE
from scripts.local_run.secrets import STAFF_EMAIL
from scripts.local_run.seed.seed import seed
from scripts.local_run.supervisor import Shop
from tests.readme.page import PAGES, README, ROOT, Block, blocks
from tests.readme.stand_ins import PROGRAMS

VERBS = ("scripts/demo", "scripts/test", "scripts/bench", "scripts/setup")
LOOKING = ("curl", "grpcurl")
SERVES, SERVING = "-m services order", '"message": "serving"'
"""A command that runs until it is stopped, and what it then has said."""
VARYING = {"id", "createTime", "updateTime", "nextPageToken"}
"""Members of an answer that differ from shop to shop."""

SHELL = [block for page in PAGES for block in blocks(page) if block.language == "sh"]
LINES = sorted(
    {line.partition("#")[0].strip() for block in SHELL for line in block.text.splitlines() if line.startswith(VERBS)}
)
RUN = [block for block in SHELL if not block.text.startswith(VERBS)]
LOOKED = [block for block in RUN if block.text.startswith(LOOKING)]
ANSWERED = [
    (block, after)
    for block, after in zip(blocks(README), blocks(README)[1:], strict=False)
    if block in LOOKED and after.language in ("json", "text")
]


@pytest.mark.parametrize("line", LINES)
def test_a_command_exists_and_knows_its_options(line):
    words = shlex.split(line)
    script = ROOT / words[0]
    assert os.access(script, os.X_OK)
    options = [word for word in words[1:] if word.startswith("--")]
    known = help_of(script)
    assert [option for option in options if option not in known] == []
    assert [word for word in words[1:] if word.startswith("tests/") and not (ROOT / word).exists()] == []


def test_ci_runs_what_the_reader_runs():
    assert "scripts/test" in (ROOT / ".ci" / "run").read_text()


def help_of(script: Path) -> str:
    """Return what a command says of itself: its own text, and the help of the module that it starts."""
    text = script.read_text()
    module = re.search(r"-m (scripts\.\w+)", text)
    if module is None:
        return text
    done = subprocess.run(
        [sys.executable, "-m", module[1], "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return text + done.stdout


@pytest_asyncio.fixture(loop_scope="session")
async def shop(separate_shop: Shop) -> Shop:
    """Return a shop with products."""
    await seed(f"127.0.0.1:{separate_shop.ports.edge}", STAFF_EMAIL, separate_shop.secrets.staff_password)
    return separate_shop


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory) -> Path:
    """Return a folder with the stand-ins."""
    folder: Path = tmp_path_factory.mktemp("stand-ins")
    for name in PROGRAMS:
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.readme.stand_ins {name} "$@"\n')
        program.chmod(0o755)
    return folder


in_the_shop = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


class TestInTheShop:
    """What is run against the open shop."""

    pytestmark = in_the_shop

    @pytest.mark.parametrize("block", RUN, ids=str)
    async def test_a_block_runs(self, shop, stand_ins, block):
        await run(block, shop, f"{os.environ['PATH']}:{stand_ins}")

    @pytest.mark.parametrize("block", LOOKED, ids=str)
    async def test_a_block_runs_by_the_stand_ins(self, shop, stand_ins, block):
        await run(block, shop, f"{stand_ins}:{os.environ['PATH']}")

    @pytest.mark.parametrize(("block", "answer"), ANSWERED, ids=str)
    async def test_the_answer_is_the_one_shown(self, shop, stand_ins, block, answer):
        told = await run(block, shop, f"{os.environ['PATH']}:{stand_ins}")
        if answer.language == "json":
            assert same(json.loads(answer.text), json.loads(told)), told
        else:
            assert told == answer.text


async def run(block: Block, shop: Shop, path: str) -> str:
    """Run a block as a reader would, but in this shop, and return what it prints; what serves is told to stop."""
    environment = {**os.environ, "PATH": path, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"}
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", here(block.text, shop),
        cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    told = ""
    async with asyncio.timeout(60):
        while line := (await process.stdout.readline()).decode():
            told += line
            if SERVES in block.text and SERVING in line:
                os.killpg(process.pid, signal.SIGINT)
        assert await process.wait() == 0, told
    return told


def here(text: str, shop: Shop) -> str:
    """Return a command for this shop: its ports, its state folder, this Python."""
    ports = re.sub(r":(\d{4})\b", lambda found: f":{int(found[1]) - DEFAULT_BASE + shop.ports.base}", text)
    return ports.replace(".meshmart", str(shop.state)).replace(".venv/bin/python", sys.executable)


def same(shown: Any, told: Any) -> bool:
    """Return whether two answers are the same but for what differs from shop to shop."""
    if isinstance(shown, dict) and isinstance(told, dict):
        kept = shown.keys() - VARYING
        return shown.keys() == told.keys() and all(same(shown[key], told[key]) for key in kept)
    if isinstance(shown, list) and isinstance(told, list):
        return len(shown) == len(told) and all(map(same, shown, told))
    return bool(shown == told)
