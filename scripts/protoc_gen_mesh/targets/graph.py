"""Who calls whom, and who hears whom, as a Mermaid flowchart."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from scripts.protoc_gen_mesh.model import Contract

Edges = Mapping[tuple[str, str], list[str]]


def generate(contract: Contract) -> dict[str, str | bytes]:
    """Return `graph.mmd`: solid arrows are calls, dotted ones are events."""
    services = {name.replace("-", "_"): name for name in contract.services}
    lines = ["flowchart LR", "  edge([edge])"]
    lines += [f"  {node}[{name}]" for node, name in services.items()]
    lines += [f"  edge --> {_node(name)}" for name in sorted({method.service for method in contract.public_methods})]
    lines += _arrows(_calls(contract), "-->")
    lines += _arrows(_events(contract), "-.->")
    return {"graph.mmd": "\n".join(lines) + "\n"}


def _calls(contract: Contract) -> Edges:
    edges = defaultdict(list)
    for method in contract.methods:
        for caller in method.callers:
            edges[caller, method.service].append(method.name)
    return edges


def _events(contract: Contract) -> Edges:
    edges = defaultdict(list)
    for event in contract.events:
        for consumer in event.consumers:
            edges[event.publisher, consumer].append(event.name)
    return edges


def _arrows(edges: Edges, arrow: str) -> Iterable[str]:
    for (source, target), names in sorted(edges.items()):
        yield f'  {_node(source)} {arrow}|"{"<br/>".join(names)}"| {_node(target)}'


def _node(name: str) -> str:
    return name.replace("-", "_")
