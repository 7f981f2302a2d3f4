"""Facts as files: strict, named when they are wrong, whole or not there."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from executor.facts_files import FactsFileError, read_world, write_facts, write_whole
from planner.codec import (
    CodecError,
    decode_entry,
    decode_facts,
    decode_plan,
    encode,
    pretty,
    sha256,
    text_sha256,
)
from planner.model import NodeFacts

BUNDLED = Path(__file__).resolve().parents[2] / "fixtures/nodes"
FILES = sorted(BUNDLED.glob("*/*.json"))
HN1 = BUNDLED / "san/hn1.json"


def good() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(HN1.read_bytes())
    return document


def facts() -> NodeFacts:
    return decode_facts(HN1.read_bytes(), "hn1.json")


def problem(folder: Path, document: object) -> str:
    """What is said of a folder that holds this document."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    (folder / "hn1.json").write_bytes(text)
    with pytest.raises(CodecError) as caught:
        read_world(folder)
    said = str(caught.value)
    assert said.startswith(f"{folder / 'hn1.json'}: ")
    return said.removeprefix(f"{folder / 'hn1.json'}: ")


# --- what is bundled


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_bundled_file_comes_out_as_it_went_in(path: Path) -> None:
    text = path.read_bytes()
    found = decode_facts(text, str(path))
    assert pretty(found).encode() == text
    assert found.in_order() == found
    assert found.node == path.stem


@pytest.mark.parametrize("world", sorted({path.parent for path in FILES}), ids=lambda path: path.name)
def test_a_bundled_world_is_copied_byte_for_byte(world: Path, tmp_path: Path) -> None:
    for found in read_world(world).values():
        write_facts(tmp_path / "deep" / "copy", found)
    copied = {path.name: path.read_bytes() for path in (tmp_path / "deep" / "copy").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in world.glob("*.json")}


def test_the_same_facts_are_the_same_bytes_however_the_file_was_laid_out() -> None:
    document = good()
    turned = json.dumps(dict(reversed(document.items())), separators=(" ,", "\n:")).encode()
    assert encode(decode_facts(turned, "x")) == encode(facts())
    assert sha256(decode_facts(turned, "x")) == sha256(facts())
    assert encode(facts()).count(b"\n") == 0


def test_a_digest_of_a_text_is_what_sha256sum_prints() -> None:
    assert text_sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert text_sha256("gr\u00fcn\n") == "d2d8a3547ed87a59bd66ca28402de461108a17edfc3c91d0fe1ecd44f25986b9"


# --- what is wrong is named


def test_an_unknown_field_is_named(tmp_path: Path) -> None:
    document = good()
    document["colour"] = "red"
    assert problem(tmp_path, document).startswith("Object contains unknown field `colour`;")
    document = good()
    document["mounts"][1]["flags"] = []
    assert "unknown field `flags` - at `$.mounts[1]`;" in problem(tmp_path, document)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    document = good()
    del document["devices"][0]["exclusive"]
    assert "missing required field `exclusive` - at `$.devices[0]`;" in problem(tmp_path, document)
    document = good()
    del document["boot_id"]
    assert "missing required field `boot_id`;" in problem(tmp_path, document)


@pytest.mark.parametrize(
    ("field", "wrong", "said"),
    [
        ("size_bytes", "1", "Expected `int`, got `str` - at `$.devices[0].size_bytes`;"),
        ("size_bytes", True, "Expected `int`, got `bool` - at `$.devices[0].size_bytes`;"),
        ("size_bytes", 1.5, "Expected `int`, got `float` - at `$.devices[0].size_bytes`;"),
        ("size_bytes", None, "Expected `int`, got `null` - at `$.devices[0].size_bytes`;"),
        ("names", "/dev/sda1", "Expected `array`, got `str` - at `$.devices[0].names`;"),
        ("names", ["/dev/sda1", 1], "Expected `str`, got `int` - at `$.devices[0].names[1]`;"),
        ("exclusive", "maybe", "Invalid enum value 'maybe' - at `$.devices[0].exclusive`;"),
        ("exclusive", False, "Expected `str`, got `bool` - at `$.devices[0].exclusive`;"),
        ("filesystem", {}, "missing required field `type` - at `$.devices[0].filesystem`;"),
        (
            "filesystem",
            {"type": "ext4", "uuid": None, "journal": None, "needs_recovery": "no"},
            "missing required field `label` - at `$.devices[0].filesystem`;",
        ),
        ("filesystem", "ext4", "Expected `object | null`, got `str` - at `$.devices[0].filesystem`;"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(tmp_path: Path, field: str, wrong: object, said: str) -> None:
    document = good()
    document["devices"][0][field] = wrong
    assert said in problem(tmp_path, document)


@pytest.mark.parametrize("version", [0, 1, 2, 4, "3", None, [3]])
def test_another_version_is_refused_and_never_guessed_at(tmp_path: Path, version: object) -> None:
    document = good()
    document["version"] = version
    document["new_in_4"] = "not what is complained of"
    said = problem(tmp_path, document)
    assert said.startswith(f"facts of version {version!r}, this vzplan reads version 3 - at `$.version`;")
    assert "'vzplan facts'" in said


@pytest.mark.parametrize("field", ["label", "empty", "free_bytes", "inodes", "free_inodes"])
def test_a_filesystem_of_the_first_version_is_not_taken_for_one_of_this(tmp_path: Path, field: str) -> None:
    document = good()
    del document["devices"][1]["filesystem"][field]
    said = problem(tmp_path, document)
    assert f"missing required field `{field}` - at `$.devices[1].filesystem`;" in said


@pytest.mark.parametrize("field", ["mounters", "activations", "reboots", "usage", "reaches"])
def test_facts_of_an_earlier_version_are_not_taken_for_those_of_this(tmp_path: Path, field: str) -> None:
    document = good()
    del document[field]
    assert f"missing required field `{field}`;" in problem(tmp_path, document)


@pytest.mark.parametrize(
    ("field", "wrong", "said"),
    [
        ("mounters", [{"where": "/etc/fstab", "what": "/dev/sda1"}], "missing required field `point` - at"),
        ("mounters", [{"where": 1, "what": "", "point": ""}], "got `int` - at `$.mounters[0].where`;"),
        (
            "activations",
            [{"where": "/x", "group": "vg"}],
            "missing required field `volume` - at `$.activations[0]`;",
        ),
        (
            "activations",
            [{"where": "/x", "group": None, "volume": None}],
            "got `null` - at `$.activations[0].group`;",
        ),
        ("reboots", ["123"], "Expected `int`, got `str` - at `$.reboots[0]`;"),
        ("reboots", 123, "Expected `array | null`, got `int` - at `$.reboots`;"),
        ("usage", [{"path": "/x", "bytes": "1", "inodes": 1}], "got `str` - at `$.usage[0].bytes`;"),
        ("usage", [{"path": "/x", "bytes": 1, "inodes": None}], "got `null` - at `$.usage[0].inodes`;"),
        (
            "reaches",
            [{"peer": "hn2", "reached": "yes", "bytes_per_s": 0}],
            "Expected `int` >= 1 - at `$.reaches[0].bytes_per_s`;",
        ),
        ("reaches", [{"peer": "hn2", "reached": True}], "got `bool` - at `$.reaches[0].reached`;"),
        ("reaches", [{"peer": "hn2", "reached": "?"}], "Invalid enum value '?' - at `$.reaches[0].reached`;"),
    ],
)
def test_a_wrong_record_is_named_with_its_place(tmp_path: Path, field: str, wrong: object, said: str) -> None:
    document = good()
    document[field] = wrong
    assert said in problem(tmp_path, document)


def test_a_missing_version_is_refused(tmp_path: Path) -> None:
    document = good()
    del document["version"]
    assert problem(tmp_path, document).startswith("facts of version None,")


@pytest.mark.parametrize(
    "text",
    [b"", b" \n", b"{", b"{}x", b"\x00", b"\xff\xfe", b'{"version": "\xff"}', b"{'version': 1}", b"NaN"],
)
def test_what_is_no_json_is_refused(tmp_path: Path, text: bytes) -> None:
    assert problem(tmp_path, text).startswith("not JSON: ")


@pytest.mark.parametrize(
    ("text", "kind"),
    [(b"[]", "list"), (b"1", "int"), (b'"x"', "str"), (b"null", "NoneType"), (b"true", "bool")],
)
def test_what_is_no_object_is_refused(tmp_path: Path, text: bytes, kind: str) -> None:
    assert problem(tmp_path, text).startswith(f"Expected `object`, got `{kind}` - at `$`;")


def test_no_cut_of_a_file_is_read() -> None:
    text = HN1.read_bytes().rstrip()
    for end in range(len(text)):
        with pytest.raises(CodecError):
            decode_facts(text[:end], "cut")


def test_what_is_no_plan_and_no_entry_is_refused_with_its_file() -> None:
    for text in (b"", b"[]", b"{}", HN1.read_bytes(), b"\xff"):
        with pytest.raises(CodecError, match=r"^plan\.json: "):
            decode_plan(text, "plan.json")
        with pytest.raises(CodecError, match=r"^journal, line 3: .*the journal is damaged"):
            decode_entry(text, "journal, line 3")


# --- folders


def test_two_files_of_one_node_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(HN1.read_bytes())
    (tmp_path / "b.json").write_bytes(HN1.read_bytes())
    with pytest.raises(FactsFileError) as caught:
        read_world(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'b.json'}: node hn1 has a file already; leave one of them"


def test_a_folder_without_facts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("nothing here")
    with pytest.raises(FactsFileError, match=r"there is no NODE\.json in it; name a folder that") as caught:
        read_world(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: ")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FactsFileError, match="No such file or directory; name a folder") as caught:
        read_world(tmp_path / "nowhere")
    assert str(caught.value).startswith(f"{tmp_path / 'nowhere'}: ")


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FactsFileError, match=r"file: Not a directory;"):
        read_world(tmp_path / "file")


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root reads everything: the kernel's answer is put in its mouth.
    def refuse(self: Path, _mode: str = "") -> None:
        raise PermissionError(13, "Permission denied", str(self))

    (tmp_path / "hn1.json").write_bytes(HN1.read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", refuse)
        with pytest.raises(FactsFileError) as caught:
            read_world(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: Permission denied;")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(FactsFileError) as caught:
            read_world(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'hn1.json'}: Permission denied;")


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hn1.json").mkdir()
    with pytest.raises(FactsFileError, match=r"hn1\.json: Is a directory;"):
        read_world(tmp_path)


def test_nodes_come_in_the_order_of_their_files(tmp_path: Path) -> None:
    for name in ("b", "c", "a"):
        write_facts(tmp_path, structs.replace(facts(), node=name))
    assert list(read_world(tmp_path)) == ["a", "b", "c"]


# --- writing


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_replaces_an_older_one_and_is_read_by_those_who_could_read_that(
    mode: int, tmp_path: Path
) -> None:
    (tmp_path / "hn1.json").write_text("older")
    (tmp_path / "hn1.json").chmod(mode)
    path = write_facts(tmp_path, facts())
    assert path == tmp_path / "hn1.json"
    assert path.read_bytes() == HN1.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert [found.name for found in tmp_path.iterdir()] == ["hn1.json"]


def test_a_new_file_is_for_its_owner_only(tmp_path: Path) -> None:
    assert stat.S_IMODE(write_facts(tmp_path, facts()).stat().st_mode) == 0o600


def test_a_node_name_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    for name in ("../../etc/passwd", "a/b", "", "..\n"):
        with pytest.raises(FactsFileError, match="cannot be the name of a file; nothing was written"):
            write_facts(tmp_path / "facts", structs.replace(facts(), node=name))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", ["chmod", "replace"])
def test_an_older_file_stays_if_the_new_one_cannot_be_put_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(self: Path, *_: object) -> None:
        raise OSError(28, "No space left on device", str(self))

    (tmp_path / "hn1.json").write_text("older")
    monkeypatch.setattr(Path, method, fail)
    with pytest.raises(FactsFileError) as caught:
        write_facts(tmp_path, facts())
    assert str(caught.value).startswith(f"{tmp_path / 'hn1.json'}: No space left on device;")
    assert (tmp_path / "hn1.json").read_text() == "older"
    # What is left of the new one is no facts file.
    assert [found.name for found in tmp_path.iterdir() if found.suffix == ".json"] == ["hn1.json"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FactsFileError, match=r"file/sub/hn1\.json: Not a directory; nothing was written"):
        write_facts(tmp_path / "file" / "sub", facts())
    assert (tmp_path / "file").read_text() == "in the way"


def test_json_that_is_nested_without_end_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "hn1.json").write_bytes(b"[" * 100_000)
    with pytest.raises(CodecError, match=r"hn1\.json: nested too deeply"):
        read_world(tmp_path)


def test_a_key_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    text = pretty(facts()).encode().replace(b'"version": 3', b'"version": 3, "node": "other"', 1)
    (tmp_path / "hn1.json").write_bytes(text)
    with pytest.raises(CodecError, match="'node' stands there twice"):
        read_world(tmp_path)


def test_nothing_is_left_of_a_file_that_could_not_be_put_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, *_: object) -> None:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(FactsFileError, match="nothing was written"):
        write_facts(tmp_path, facts())
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_text_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "report", "\udcff")
    assert list(tmp_path.iterdir()) == []

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "report", "whole")
    assert list(tmp_path.iterdir()) == []
