"""The lint and the breaking gate, and buf as a way to run the compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from scripts.generate import breaking, lint
from scripts.generate.build import MESH_OPTIONS, PROTOS, mesh_plugin
from scripts.generate.image import proto_files, run_protoc
from scripts.generate.stamp import ROOT
from scripts.protoc_gen_mesh.plugin import all_targets
from tests.contract.compiling import our_contract

ORDER = Path("meshmart/order/v1/order.proto")
FIELD = "  // Units.\n  int32 quantity = 3;\n"

BREAKING = {
    "a field removed": "",
    "a field renamed": FIELD.replace("quantity", "amount"),
    "a field of another type": FIELD.replace("int32", "string"),
}
HARMLESS = {
    "a field removed and reserved": '  reserved 3;\n  reserved "quantity";\n',
    "a field added": FIELD + "  // Note.\n  string note = 9;\n",
}


@pytest.fixture
def changed(tmp_path):
    """Return a function that copies our contract with the quantity of an order line replaced."""

    def change(replacement: str) -> Path:
        protos: Path = tmp_path / "protos"
        shutil.copytree(PROTOS, protos)
        text = (protos / ORDER).read_text()
        assert FIELD in text
        (protos / ORDER).write_text(text.replace(FIELD, replacement))
        return protos

    return change


def test_our_contract_has_no_lint():
    assert lint.findings(PROTOS) == []


def test_a_field_without_a_comment_is_lint_and_files_of_others_are_not_looked_at(changed):
    (finding,) = lint.findings(changed(FIELD.replace("  // Units.\n", "")))
    assert finding.startswith(f"{ORDER}:")
    assert 'Field "quantity" should have a non-empty comment' in finding


@pytest.mark.parametrize("replacement", BREAKING.values(), ids=BREAKING)
def test_a_change_that_breaks_callers_is_refused(changed, replacement):
    found = breaking.findings(changed(replacement), PROTOS)
    assert found
    assert all(str(ORDER) in line for line in found)


@pytest.mark.parametrize("replacement", HARMLESS.values(), ids=HARMLESS)
def test_a_change_that_breaks_nobody_passes(changed, replacement):
    assert breaking.findings(changed(replacement), PROTOS) == []


def test_the_working_tree_breaks_nothing():
    compared, found = breaking.check(ROOT)
    assert found == [], compared


def test_the_gate_compares_with_the_commit_before_and_says_so_when_there_is_none(tmp_path):
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
        program = shutil.which("git") or "git"
        subprocess.run([program, "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    git("init", "--initial-branch", "main")
    assert breaking.check(tmp_path) == ("no earlier contracts to compare with", [])
    shutil.copytree(PROTOS, tmp_path / "protos")
    git("add", ".")
    git("commit", "--message", "First")
    assert breaking.check(tmp_path) == ("no earlier contracts to compare with", [])

    (tmp_path / "protos" / ORDER).write_text((PROTOS / ORDER).read_text().replace(FIELD, ""))
    git("commit", "--all", "--message", "Remove a field")
    compared, found = breaking.check(tmp_path)
    assert compared.startswith("compared with ")
    assert all("was deleted" in line for line in found)
    assert found


def test_buf_generate_runs_the_compiler_and_makes_the_same(tmp_path):
    mesh_plugin(tmp_path)
    image = tmp_path / "image.binpb"
    run_protoc(PROTOS, proto_files(PROTOS), image)
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    command = ["buf", "generate", str(image), "--template", str(ROOT / "buf.gen.yaml"), "--output", str(tmp_path)]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": path}, check=True)

    assert MESH_OPTIONS == "strict,services=storefront", "buf.gen.yaml says the same"
    expected = {name: content for target in all_targets().values() for name, content in target(our_contract()).items()}
    made = {file.name: file.read_bytes() for file in (tmp_path / "gen" / "mesh").iterdir()}
    assert made.keys() == expected.keys()
    assert names(made.pop("public.binpb")) == names(expected.pop("public.binpb"))
    assert {name: text.decode() for name, text in made.items()} == expected


def names(descriptor_set: str | bytes) -> list[str]:
    """Return the files of a descriptor set."""
    assert isinstance(descriptor_set, bytes)
    return [file.name for file in FileDescriptorSet.FromString(descriptor_set).file]
