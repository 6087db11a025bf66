"""`scripts/gen`: it brings gen/ up to date without a gap, and keeps the README's graph."""

import subprocess

import pytest

from scripts.generate import build, readme, stamp

GRAPH = "flowchart LR\n"
TEXT = "# Shop\n<!-- graph:begin -->\nold\n<!-- graph:end -->\nmore\n"


@pytest.fixture
def generated(tmp_path, monkeypatch):
    """Return a gen/ folder of the test's own, made from what is here now."""
    folder = tmp_path / "gen"
    for name, text in {"kept.py": "1", "old.py": "1", "gone.py": "1"}.items():
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    for module in (build, stamp):
        monkeypatch.setattr(module, "GENERATED", folder)
    return folder


def test_only_what_differs_is_replaced(generated, tmp_path):
    before = (generated / "kept.py").stat()
    made = tmp_path / "made"
    made.mkdir()
    for name, text in {"kept.py": "1", "old.py": "2", "new.py": "2"}.items():
        (made / name).write_text(text)

    assert build.bring_into_place(made, "stamp") == ["gone.py", "new.py", "old.py"]
    assert {file.name: file.read_text() for file in generated.iterdir()} == {
        "kept.py": "1",
        "old.py": "2",
        "new.py": "2",
        stamp.STAMP: "stamp",
    }
    assert (generated / "kept.py").stat().st_mtime_ns == before.st_mtime_ns


def test_what_was_made_from_the_same_sources_is_current(generated):
    assert not stamp.is_current()
    (generated / stamp.STAMP).write_text(stamp.fingerprint())
    assert stamp.is_current()


def test_a_changed_source_makes_it_old(generated, monkeypatch):
    (generated / stamp.STAMP).write_text(stamp.fingerprint())
    monkeypatch.setattr(stamp, "_SOURCES", ("protos/**/*.proto",))
    assert not stamp.is_current()


def test_the_graph_stands_between_its_markers():
    text = readme.with_graph(TEXT, GRAPH)
    assert text == "# Shop\n<!-- graph:begin -->\n```mermaid\nflowchart LR\n```\n<!-- graph:end -->\nmore\n"
    assert readme.with_graph(text, GRAPH) == text


def test_a_text_without_markers_is_left_alone():
    assert readme.with_graph("# Shop\n", GRAPH) == "# Shop\n"


def test_the_check_finds_nothing_old_once_gen_has_run():
    gen = str(stamp.ROOT / "scripts" / "gen")
    subprocess.run([gen], check=True, capture_output=True)
    checked = subprocess.run([gen, "--check"], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
