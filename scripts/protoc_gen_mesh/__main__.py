"""`protoc-gen-mesh`: reads a request from protoc, writes the answer."""

import sys

from scripts.protoc_gen_mesh.plugin import run


def main() -> None:
    """Serve one request on standard input and output."""
    sys.stdout.buffer.write(run(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
