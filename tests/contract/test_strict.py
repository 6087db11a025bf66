"""What strict mode refuses, where it says so, and what it says to write."""

import re

import pytest

from scripts.protoc_gen_mesh.plugin import ContractError
from tests.contract.compiling import TESTDATA, compiled

WRONG = TESTDATA / "wrong"
FILE = "acme/wrong/v1/wrong.proto"

# What is wrong with each method or event of wrong.proto: a part of the message that says so or what to write.
REFUSED = {
    "WithoutComment": "has no comment; write above it",
    "WithoutPolicy": "has no policy; write `option (meshmart.policy.v1.method) = ",
    "WithoutAccess": "its policy has no access; write `access:` ACCESS_PUBLIC",
    "WithoutTimeout": "has no timeout; write `timeout: {seconds: 1}`",
    "ZeroTimeout": "its timeout is not more than zero",
    "StreamTimeout": "is a stream and has a timeout; write `idle_timeout` and `max_age` instead",
    "UnaryIdle": "is unary and has `idle_timeout` or `max_age`; remove them",
    "UnknownCaller": "its caller 'nobody' is no service; write one of night-watch, wrong",
    "WithoutCallers": "is INTERNAL and nobody may call it; write `callers: [...]`",
    "InternalBinding": "is INTERNAL and has an http binding; remove `google.api.http`",
    "UnsafeGet": "is bound to GET, which anyone may repeat; write `option idempotency_level = NO_SIDE_EFFECTS;`",
    "GetBody": "is bound to GET with a body; remove `body`",
    "IdlePost": "has no side effects but is bound to POST; bind GET, or POST with a body",
    "IdleDelete": "has no side effects but is bound to DELETE; bind GET, or POST with a body",
    "UnknownField": "its http binding names 'inner.nothing', which is no field of Ask",
    "WithoutRequestId": "Empty has no REQUIRED `request_id` that makes a repeat safe; write `string request_id = N",
    "OptionalRequestId": "Ask has no REQUIRED `request_id` that makes a repeat safe",
    "StreamedRequests": "is IDEMPOTENT but streams requests, which nobody can send again",
    "SecondOfPath": "POST /same/{other} is bound to acme.wrong.v1.WrongService.FirstOfPath (acme/wrong/v1/wrong.proto:",
    "SilentEvent": "has no comment; write above it in one sentence what happened",
    "UnheardEvent": "its consumer 'nobody' is no service; write one of night-watch, wrong",
}


@pytest.fixture(scope="module")
def found() -> list[str]:
    """Return what strict mode says of the wrong contract, one line each."""
    with pytest.raises(ContractError) as refusal:
        compiled(WRONG, "strict,services=night-watch")
    return str(refusal.value).split("\n")


@pytest.mark.parametrize(("name", "text"), REFUSED.items(), ids=REFUSED)
def test_strict_mode_says_where_it_is_wrong_and_what_to_write(found, name, text):
    (line,) = [line for line in found if re.search(rf"[.]{name}: ", line)]
    assert line.startswith(f"{FILE}:{line_of(name)}: acme.wrong.v1.")
    assert text in line


def test_an_event_in_a_package_without_a_service_is_refused(found):
    (line,) = [line for line in found if ".GhostEvent: " in line]
    assert line.startswith("acme/ghost/v1/ghost_events.proto:8: ")
    assert "its package belongs to no service" in line


def test_nothing_else_is_refused(found):
    assert len(found) == len(REFUSED) + 1


def test_a_contract_that_says_everything_is_not_refused():
    assert compiled(TESTDATA / "shop", "strict,services=night-watch")


def line_of(name: str) -> int:
    """Return the line on which the fixture declares a method or a message."""
    lines = (WRONG / FILE).read_text().split("\n")
    return 1 + next(number for number, line in enumerate(lines) if re.search(rf"(rpc|message) {name}\b", line))
