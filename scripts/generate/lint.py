"""`python -m scripts.generate.lint`: the contracts as buf's STANDARD and COMMENTS want them."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.generate import buf
from scripts.generate.image import proto_files, run_protoc
from scripts.generate.stamp import ROOT


def findings(protos: Path) -> list[str]:
    """Return what is wrong with the contracts below a folder, as `file:line:column:text`."""
    with TemporaryDirectory(prefix="meshmart-lint-") as folder:
        image = Path(folder) / "image.binpb"
        run_protoc(protos, proto_files(protos), image)
        return buf.lint(image)


def main() -> int:
    """Print what is wrong and return the exit status."""
    found = findings(ROOT / "protos")
    print("\n".join(f"protos/{line}" for line in found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
