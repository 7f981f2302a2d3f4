"""What LVM's own config says of activation, as old and new ones are written, and as nobody should write them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.model import Activation
from planner.parse.lvm import AT_ALL, AT_BOOT, activations, settings

CAPTURED = Path(__file__).resolve().parents[2] / "fixtures/captured"
MAIN, LOCAL = "/etc/lvm/lvm.conf", "/etc/lvm/lvmlocal.conf"


def captured(case: str) -> str:
    return (CAPTURED / f"lvm-{case}.conf").read_text()


def named(text: str) -> list[str]:
    return ["/".join(filter(None, (a.group, a.volume))) for a in activations({MAIN: text})]


def test_rhel_6_activates_what_may_be_activated() -> None:
    assert activations({MAIN: captured("rhel6")}) == (
        Activation(MAIN, "vg_hn1", None),
        Activation(MAIN, "vg_san", "ct-123"),
    )


def test_a_current_one_says_apart_what_a_boot_activates() -> None:
    assert activations({MAIN: captured("current")}) == (
        Activation(MAIN, "vg_root", None),
        Activation(MAIN, "vg_san", "web1"),
    )


def test_what_is_set_for_the_host_alone_comes_first() -> None:
    files = {MAIN: captured("current"), LOCAL: captured("local")}
    assert activations(files) == (Activation(LOCAL, "vg_root", None),)
    assert activations({LOCAL: captured("local")}) == (Activation(LOCAL, "vg_root", None),)


def test_every_setting_is_read_under_its_section() -> None:
    found = settings(captured("rhel6"))
    assert found["devices/preferred_names"] == ("^/dev/mpath/", "^/dev/mapper/mpath", "^/dev/[hs]d")
    assert found["devices/filter"] == ("a|^/dev/sda2$|", "a|^/dev/mapper/mpath.*|", "r/.*/")
    assert (found["devices/cache_file_prefix"], found["log/prefix"]) == (("",), ("  ",))
    assert (found["global/umask"], found["backup/retain_min"]) == (("077",), ("10",))
    assert found[AT_ALL] == ("vg_hn1", "vg_san/ct-123", "@hn1")
    assert AT_BOOT not in found
    assert len(found) == 37


@pytest.mark.parametrize(
    ("text", "volumes"),
    [
        ("", []),
        ("activation {\n}\n", []),
        ('activation { # volume_list = [ "vg" ]\n}', []),
        ('volume_list = [ "vg" ]', []),
        ('devices { volume_list = [ "vg" ] }', []),
        ('activation { read_only_volume_list = [ "vg" ] lock_start_list = [ "vg" ] }', []),
        ("activation { volume_list = [] }", []),
        ('activation { volume_list = [ "@*", "@hn1" ] }', []),
        ('activation { volume_list = "vg" }', ["vg"]),
        ("activation{volume_list=['vg','vg/lv']}", ["vg", "vg/lv"]),
        ("activation { volume_list = [ vg, vg/lv, @tag ] }", ["vg", "vg/lv"]),
        ('activation/volume_list = [ "vg" ]', ["vg"]),
        ('activation {\nvolume_list\n=\n[\n"a"\n,\n"b"\n]\n}', ["a", "b"]),
        ('activation { volume_list = [ "a", "a", "b" ] }', ["a", "b"]),
        ('activation { volume_list = ["a"]\nvolume_list = ["b"] }', ["b"]),
        ('activation { volume_list = ["a"] } activation { volume_list = ["b"] }', ["b"]),
        ('a { b { } activation { volume_list = ["a"] } } activation { x { } volume_list = ["b"] }', ["b"]),
        ('activation { volume_list = ["a#b"] # ["c"]\n}', ["a#b"]),
        ('activation { volume_list = ["it\'s"] }', ["it's"]),
        ('activation { volume_list = ["a"] auto_activation_volume_list = ["b"] }', ["b"]),
        ('activation { auto_activation_volume_list = [] volume_list = ["a"] }', []),
        ('activation { volume_list = [ "", "/", "/lv" ] }', []),
        ('}}} activation { volume_list = ["a"] }', ["a"]),
        ('# activation {\r\nactivation {\r\n volume_list = [ "a" ]\r\n}\r\n', ["a"]),
    ],
)
def test_only_what_is_named_outright_is_activated(text: str, volumes: list[str]) -> None:
    assert named(text) == volumes


@pytest.mark.parametrize("case", ["rhel6", "current", "local"])
def test_no_cut_names_a_volume_that_the_whole_does_not_name(case: str) -> None:
    text = captured(case)
    listed = {word for words in settings(text).values() for word in words}
    for end in range(len(text)):
        assert set(named(text[:end])) <= listed


@pytest.mark.parametrize("case", ["rhel6", "current"])
def test_bytes_that_are_no_config_around_it_change_nothing(case: str) -> None:
    junk = bytes(range(256)).decode(errors="backslashreplace").translate({ord(c): None for c in "'\"#{}"})
    assert named(junk + "\n" + captured(case)) == named(captured(case))


def test_a_huge_one_is_read_at_once() -> None:
    filler = "".join(f'    # line {n}\n    option_{n} = [ "{n}", {n} ]\n' for n in range(50_000))
    names = ", ".join(f'"vg{n}/lv"' for n in range(5_000))
    text = f"devices {{\n{filler}}}\nactivation {{ volume_list = [ {names} ] }}\n"
    began = time.process_time()
    assert len(named(text)) == 5_000
    assert time.process_time() - began < 5


@given(st.text(alphabet=st.sampled_from("ab/@\"'#{}[]=,\n \\\0é")), st.text())
def test_no_text_makes_it_fail(text: str, other: str) -> None:
    for found in activations({MAIN: text, LOCAL: other}):
        assert found.group
