"""Makes the whole of `gen/` in a folder, and brings it into place without ever leaving a gap."""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.generate.image import VALIDATE, proto_files, run_protoc
from scripts.generate.stamp import GENERATED, ROOT, STAMP, fingerprint

PROTOS = ROOT / "protos"
MESH_OPTIONS = "strict,services=storefront"

_SCRATCH = ROOT / "build"
_CACHE = "__pycache__"


def build(folder: Path) -> None:
    """Make stubs, types, the image and all targets of the contract compiler in one protoc run."""
    (folder / "mesh").mkdir(parents=True)
    with TemporaryDirectory(prefix="meshmart-gen-") as tools:
        outputs = [
            *(f"--{kind}_out={folder}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")),
            "--mypy_opt=quiet",
            "--mypy_grpc_opt=quiet",
            f"--plugin=protoc-gen-mypy={_program('protoc-gen-mypy')}",
            f"--plugin=protoc-gen-mypy_grpc={_program('protoc-gen-mypy_grpc')}",
            f"--plugin=protoc-gen-mesh={mesh_plugin(Path(tools))}",
            f"--mesh_out={folder / 'mesh'}",
            f"--mesh_opt={MESH_OPTIONS}",
        ]
        run_protoc(PROTOS, [*proto_files(PROTOS), VALIDATE], folder / "image.binpb", outputs)


def bring_into_place(folder: Path, stamp: str) -> list[str]:
    """Replace each file of `gen/` that differs, one atomic rename each, drop what is gone, and stamp it.

    Unlike a swap of folders this never hides a file from a running service. The stamp comes last: an interrupted
    run is repeated.
    """
    changed = differing(folder)
    (GENERATED / STAMP).unlink(missing_ok=True)
    for name in changed:
        target, made = GENERATED / name, folder / name
        if made.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            made.replace(target)
        else:
            target.unlink()
    GENERATED.mkdir(exist_ok=True)
    (GENERATED / STAMP).write_text(stamp)
    return changed


def differing(folder: Path) -> list[str]:
    """Return the files that are not the same in `gen/` and in a folder just made."""
    made, present = _contents(folder), _contents(GENERATED)
    return sorted(name for name in made.keys() | present.keys() if made.get(name) != present.get(name))


def generate() -> list[str]:
    """Bring `gen/` up to date and return the files that changed."""
    with scratch() as folder:
        stamp = fingerprint()
        build(folder)
        return bring_into_place(folder, stamp)


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder on the file system of `gen/`, to one run at a time."""
    _SCRATCH.mkdir(exist_ok=True)
    with (_SCRATCH / "gen.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = _SCRATCH / f"gen-{os.getpid()}"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and _CACHE not in path.parts and path.name != STAMP)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _program(name: str) -> str:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or name


def mesh_plugin(folder: Path) -> Path:
    """Write a program that runs this checkout's compiler: its entry point may not be installed."""
    program = folder / "protoc-gen-mesh"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m scripts.protoc_gen_mesh\n')
    program.chmod(0o700)
    return program
