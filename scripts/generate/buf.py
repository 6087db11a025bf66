"""Runs buf over descriptor images: it cannot build the contracts itself, because the google files are not in git."""

import subprocess
import sys
from pathlib import Path

from scripts.generate.stamp import ROOT

CONFIG = ROOT / "buf.yaml"


def lint(image: Path) -> list[str]:
    """Return what `buf lint` finds in the contracts of an image."""
    return _run("lint", str(image))


def breaking(image: Path, against: Path) -> list[str]:
    """Return what breaks who speaks the contracts of an earlier image."""
    return _run("breaking", str(image), "--against", str(against), "--exclude-imports")


def _run(*arguments: str) -> list[str]:
    beside = Path(sys.executable).parent / "buf"
    program = str(beside) if beside.exists() else "buf"
    command = [program, *arguments, "--config", str(CONFIG)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    findings = done.stdout.splitlines()
    if done.returncode != 0 and not findings:
        raise RuntimeError(done.stderr.strip())
    return findings
