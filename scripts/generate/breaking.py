"""`python -m scripts.generate.breaking`: refuses a contract that breaks those who speak the last one.

The working tree is compared with where it left origin/main; on main itself, with the commit before.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.generate import buf
from scripts.generate.image import proto_files, run_protoc
from scripts.generate.stamp import ROOT

_PROTOS = "protos"


def findings(protos: Path, earlier: Path) -> list[str]:
    """Return what the contracts below a folder break of those below another."""
    with TemporaryDirectory(prefix="meshmart-breaking-") as folder:
        images = [Path(folder) / name for name in ("now.binpb", "earlier.binpb")]
        for source, image in zip((protos, earlier), images, strict=True):
            run_protoc(source, proto_files(source), image)
        return buf.breaking(*images)


def base(repository: Path) -> str | None:
    """Return the commit to compare with; None when there is none or it has no contracts."""
    head = _git(repository, "rev-parse", "--verify", "--quiet", "HEAD")
    fork = _git(repository, "merge-base", "HEAD", "origin/main")
    commit = fork if fork and fork != head else _git(repository, "rev-parse", "--verify", "--quiet", "HEAD~1")
    return commit if commit and _git(repository, "ls-tree", "--name-only", commit, _PROTOS) else None


def check(repository: Path) -> tuple[str, list[str]]:
    """Compare a repository's working tree with its base; return what was compared and what breaks."""
    commit = base(repository)
    if commit is None:
        return "no earlier contracts to compare with", []
    with TemporaryDirectory(prefix="meshmart-breaking-") as folder:
        archive = subprocess.run(
            ["git", "-C", str(repository), "archive", commit, _PROTOS], capture_output=True, check=True
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        return f"compared with {commit[:12]}", findings(repository / _PROTOS, Path(folder) / _PROTOS)


def main() -> int:
    """Print what breaks and return the exit status."""
    compared, found = check(ROOT)
    print("\n".join([f"breaking: {compared}, {len(found)} changes break it", *found]))
    return 1 if found else 0


def _git(repository: Path, *arguments: str) -> str:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
