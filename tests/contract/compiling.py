"""Compiles protos for tests, as protoc and the contract compiler do."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from scripts.generate.build import MESH_OPTIONS, PROTOS
from scripts.generate.image import proto_files, run_protoc
from scripts.protoc_gen_mesh.model import Contract
from scripts.protoc_gen_mesh.parse import parse
from scripts.protoc_gen_mesh.plugin import compile_contract, read_parameters

TESTDATA = Path(__file__).parent / "testdata"
POLICY = Path("meshmart/policy/v1/policy.proto")


def request(protos: Path, parameter: str = "") -> CodeGeneratorRequest:
    """Return what protoc would hand to the compiler for the protos below a folder."""
    with TemporaryDirectory() as folder:
        image = Path(folder) / "image.binpb"
        run_protoc(with_policy(protos, Path(folder) / "protos"), proto_files(protos), image)
        files = FileDescriptorSet.FromString(image.read_bytes()).file
    return CodeGeneratorRequest(file_to_generate=proto_files(protos), proto_file=files, parameter=parameter)


def with_policy(protos: Path, folder: Path) -> Path:
    """Copy protos, and our options beside them, as a user of the compiler has them."""
    for name in [*proto_files(protos), POLICY.as_posix()]:
        source = protos / name if (protos / name).exists() else PROTOS / name
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(source.read_bytes())
    return folder


def compiled(protos: Path, parameter: str = "") -> Mapping[str, str | bytes]:
    """Return the files that the compiler makes of the protos below a folder."""
    return compile_contract(request(protos, parameter))


def our_contract() -> Contract:
    """Return the contract of the shop."""
    return parse(request(PROTOS), read_parameters(MESH_OPTIONS).services)
