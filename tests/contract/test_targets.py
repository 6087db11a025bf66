"""What each target writes, held against golden files. `pytest tests/contract --update` writes them anew; read the diff."""

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from scripts.generate.build import mesh_plugin
from scripts.generate.image import proto_files, run_protoc
from scripts.protoc_gen_mesh.plugin import all_targets
from tests.contract.compiling import TESTDATA, with_policy

GOLDEN = TESTDATA / "golden"
SHOP = TESTDATA / "shop"
TEXTS = [
    "service_config.json",
    "envoy.json",
    "streams.json",
    "consumers.json",
    "dead_letters.json",
    "nats_permissions.json",
    "nats_authorization.conf",
    "openapi.yaml",
    "graph.mmd",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Return the folder that protoc filled, with the compiler as its plugin."""
    folder: Path = tmp_path_factory.mktemp("shop")
    out = folder / "out"
    out.mkdir()
    outputs = [
        f"--plugin=protoc-gen-mesh={mesh_plugin(folder)}",
        f"--mesh_out={out}",
        "--mesh_opt=strict,services=night-watch",
    ]
    run_protoc(with_policy(SHOP, folder / "protos"), proto_files(SHOP), folder / "image.binpb", outputs)
    return out


@pytest.mark.parametrize("name", TEXTS)
def test_a_target_writes_what_its_golden_file_holds(made, name, request):
    text = (made / name).read_text()
    if request.config.getoption("--update"):
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()


def test_the_public_descriptor_set_holds_what_its_golden_file_lists(made, request):
    text = listed(FileDescriptorSet.FromString((made / "public.binpb").read_bytes()))
    if request.config.getoption("--update"):
        (GOLDEN / "public.txt").write_text(text)
    assert text == (GOLDEN / "public.txt").read_text()


def test_every_file_that_is_made_has_a_golden_file(made):
    assert {path.name for path in made.iterdir()} == {*TEXTS, "public.binpb"}


def test_a_target_is_a_file_in_the_targets_folder():
    assert list(all_targets()) == ["envoy", "graph", "nats", "openapi", "service_config"]


def listed(files: FileDescriptorSet) -> str:
    """Return the files of a set; for the fixture's own also their services, methods and messages."""
    lines = []
    for file in files.file:
        lines.append(file.name)
        if file.name.startswith("acme/"):
            lines += [f"  rpc {service.name}.{method.name}" for service in file.service for method in service.method]
            lines += [f"  message {message.name}" for message in file.message_type]
            lines += [f"  enum {enum.name}" for enum in file.enum_type]
    return "\n".join(lines) + "\n"
