"""`scripts/gen`: makes what is missing or old in `gen/`, and keeps the graph in README.md current."""

import argparse
import sys
import time

from scripts.generate import readme, stamp


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="scripts/gen", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail if gen/ or the README's graph is old"
    )
    arguments = parser.parse_args()
    return _check() if arguments.check else _make()


def _make() -> int:
    if not stamp.is_current() and (status := _generate()):
        return status
    if readme.refresh():
        print("README.md: graph refreshed")
    return 0


def _generate() -> int:
    from scripts.generate.build import generate  # noqa: PLC0415  # loads protobuf; not needed when all is current
    from scripts.generate.image import ProtocError  # noqa: PLC0415

    start = time.monotonic()
    try:
        changed = generate()
    except ProtocError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"gen: {len(changed)} files changed in {time.monotonic() - start:.1f} s")
    return 0


def _check() -> int:
    from scripts.generate.build import build, differing, scratch  # noqa: PLC0415  # as above

    with scratch() as folder:
        build(folder)
        problems = [f"gen/{name} is not what protos/ says; run scripts/gen" for name in differing(folder)]
    if not problems and not readme.is_current():
        problems = ["README.md: the graph is old; run scripts/gen"]
    print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
