"""Builds with protoc: descriptor images, and the stubs and targets beside them."""

import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

PACKAGES = Path(sysconfig.get_paths()["purelib"])
VALIDATE = "buf/validate/validate.proto"

# In a buf image, field 8042 of a file holds {1: is_import}; what is imported is neither linted nor compared.
_IS_IMPORT = b"\xd2\xf6\x03\x02\x08\x01"


class ProtocError(Exception):
    """What protoc or one of its plugins found wrong."""


def proto_files(protos: Path) -> list[str]:
    """Return the contracts below a folder, as protoc is to be given them."""
    return sorted(path.relative_to(protos).as_posix() for path in protos.rglob("*.proto"))


def run_protoc(protos: Path, files: Sequence[str], image: Path, outputs: Iterable[str] = ()) -> None:
    """Compile files below `protos` into a descriptor image with imports and comments, and into `outputs`.

    The google files come from the wheel of googleapis-common-protos, those of buf from the descriptors in protovalidate's.
    """
    with TemporaryDirectory(prefix="meshmart-gen-") as folder:
        validate = Path(folder) / "validate.binpb"
        validate.write_bytes(_validate_set().SerializeToString())
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", f"-I{PACKAGES}"]
        command += [f"--descriptor_set_in={validate}", f"--descriptor_set_out={image}"]
        command += ["--include_imports", "--include_source_info", *outputs, *files]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ProtocError(done.stderr.strip().removeprefix("--mesh_out: "))
    _mark_imports(image, set(proto_files(protos)))


def _validate_set() -> FileDescriptorSet:
    """Return the descriptors of `buf/validate/validate.proto` and of what it imports."""
    from protovalidate._gen.buf.validate import validate_pb  # noqa: PLC0415  # slow, and only needed here

    known = [module.DESCRIPTOR for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2)]
    files = FileDescriptorSet()
    for descriptor in known:
        descriptor.CopyToProto(files.file.add())
    files.file.append(FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary()))
    return files


def _mark_imports(image: Path, own: set[str]) -> None:
    files = FileDescriptorSet.FromString(image.read_bytes())
    for file in files.file:
        if file.name not in own:
            file.MergeFromString(_IS_IMPORT)
    image.write_bytes(files.SerializeToString(deterministic=True))
