"""The README files as a reader sees them: blocks, tables, links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
_PLACES = ("protos", "services", "envoy", "scripts", "tests")
PAGES = [README, *sorted(page for place in _PLACES for page in (ROOT / place).rglob("README.md"))]

_FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r'\]\(([^)\s]+)(?: "[^"]*")?\)')
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    language: str
    text: str
    line: int
    heading: str

    def __str__(self) -> str:
        """Return where it is, as the id of a test."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(page, found[2], dedent(found[3]), text.count("\n", 0, found.start()) + 1, _heading(text[: found.start()]))
        for found in _FENCE.finditer(text)
    ]


def _heading(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.startswith("## ")), "")


def section(page: Path, heading: str) -> str:
    """Return the text below a heading, up to the next of its rank."""
    rank = heading.partition(" ")[0]
    (found,) = re.findall(rf"^{re.escape(heading)}\n(.*?)(?=^{rank} |\Z)", page.read_text(), re.DOTALL | re.MULTILINE)
    return str(found)


def table(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head."""
    found = re.search(r"^(\|.*\|\n)+", section(page, heading), re.MULTILINE)
    assert found is not None, f"no table below {heading!r} in {page}"
    rows = [line.strip("|").split("|") for line in found[0].splitlines()]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Return where the links of a page lead, each once."""
    return sorted(set(_LINK.findall(prose(page))))


def code(text: str) -> Iterator[str]:
    """Yield what is written as code in a text."""
    yield from _CODE.findall(text)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
