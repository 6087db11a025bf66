"""Knows whether `gen/` is up to date, without importing anything heavy."""

import hashlib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "gen"
STAMP = ".stamp"

_SOURCES = ("protos/**/*.proto", "scripts/protoc_gen_mesh/**/*.py", "scripts/generate/*.py")
_TOOLS = ("grpcio-tools", "mypy-protobuf", "protobuf", "protovalidate", "googleapis-common-protos")


def fingerprint() -> str:
    """Return a hash of everything that `gen/` is made from: contracts, compiler and tools."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _SOURCES for path in ROOT.glob(pattern)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)}\0{len(content)}\0".encode() + content)
    for tool in _TOOLS:
        digest.update(f"{tool} {version(tool)}\n".encode())
    return digest.hexdigest()


def is_current() -> bool:
    """Return whether `gen/` was made from what is here now."""
    stamp = GENERATED / STAMP
    return stamp.is_file() and stamp.read_text() == fingerprint()
