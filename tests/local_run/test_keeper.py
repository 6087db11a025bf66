"""What dies is started again; one state folder has one shop, which ends what another has left."""

import asyncio
import json
import subprocess
import sys

import psutil
import pytest

from scripts.local_run.journal import Journal
from scripts.local_run.keeper import Keeper
from scripts.local_run.program import Program, ProgramError

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]


class Sleeper:
    """A part that does nothing, well."""

    def __init__(self, folder):
        self.program = Program("sleeper", SLEEP, folder / "log")

    def start(self):
        self.program.start(lambda program: "up" in program.output())

    def stop(self):
        self.program.stop()


@pytest.fixture
def changes():
    """Return what the keeper has told: the process ids, each time that it started something."""
    return []


@pytest.fixture
async def kept(tmp_path, changes):
    keeper = Keeper(lambda programs: changes.append({name: program.pid for name, program in programs.items()}))
    await keeper.add("sleeper", Sleeper(tmp_path))
    yield keeper
    await keeper.relax()
    await keeper.stop(["sleeper"])


async def test_what_dies_is_started_again(kept, changes):
    await kept.kill("sleeper", hold=False)
    async with asyncio.timeout(10):
        await kept.parts["sleeper"].ready.wait()
    first, second = changes
    assert first != second
    assert kept.parts["sleeper"].restarts == 1


async def test_what_is_held_stays_down_until_it_is_restarted(kept):
    await kept.kill("sleeper", hold=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await kept.parts["sleeper"].ready.wait()
    await kept.restart("sleeper")
    assert kept.parts["sleeper"].part.program.running


async def test_what_dies_often_waits_longer_each_time_unless_it_is_hurried(kept):
    sleeper = kept.parts["sleeper"]
    first, second, third = (sleeper.next_backoff() for _ in range(3))
    assert first < second < third
    kept.hurry("sleeper")
    assert sleeper.next_backoff() == first


def test_a_state_folder_has_one_shop_at_a_time(tmp_path):
    first = Journal(tmp_path)
    first.open()
    with pytest.raises(ProgramError, match="a shop runs already"):
        Journal(tmp_path).open()
    first.close()
    Journal(tmp_path).open()


def test_what_a_killed_run_has_left_is_ended(tmp_path):
    with subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL) as left, subprocess.Popen(SLEEP, stdout=-3) as other:
        entry = {"pid": left.pid, "started": psutil.Process(left.pid).create_time()}
        stranger = {"pid": other.pid, "started": entry["started"] - 1000}  # a pid that somebody else has by now
        (tmp_path / "pids.json").write_text(json.dumps({"order": entry, "payment": stranger}))
        Journal(tmp_path).open()
        survivors = {process.pid for process in (left, other) if psutil.pid_exists(process.pid)}
        other.kill()
    assert survivors == {other.pid}
