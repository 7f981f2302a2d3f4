"""What runs on a node is written for the oldest one: RHEL 6 class tools, whatever its sh is.

The verbs themselves are run with such tools in ``test_shell.py`` and in ``tests/sandbox``.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from planner.hooks import OURS
from tests import rhel6

EXECUTOR: Final = Path(__file__).parents[2] / "executor"
TEXTS: Final = {path.name: path.read_text() for path in (EXECUTOR / "probe.sh", *EXECUTOR.glob("verbs/*.sh"))}
TEXTS.update({f"our {name}": text for name, text in OURS.items()})
BUILT_IN: Final = frozenset(
    {
        "[",
        ":",
        "break",
        "cd",
        "command",
        "continue",
        "echo",
        "eval",
        "exec",
        "exit",
        "export",
        "kill",
        "printf",
        "pwd",
        "read",
        "return",
        "set",
        "shift",
        "test",
        "trap",
        "true",
        "false",
        "unset",
        "umask",
        "wait",
        "case",
        "do",
        "done",
        "elif",
        "else",
        "esac",
        "fi",
        "for",
        "if",
        "in",
        "then",
        "until",
        "while",
    }
)
"""POSIX: builtins of every sh, and its own words."""
ELSEWHERE: Final = frozenset({"sh", "reach_peers"})
"""The session's own shell; what is put before the probe (executor/gather.py)."""


# --- every program that is called is one of them


def commands(text: str) -> set[str]:
    """The programs, and functions of others, that a text in sh calls by name."""
    words = Words(text)
    words.read()
    functions = set(FUNCTION.findall(text))
    return {word for word in words.called if NAME.fullmatch(word)} - functions - BUILT_IN


FUNCTION: Final = re.compile(r"(?m)^\s*([a-z_]+)\(\)")
NAME: Final = re.compile(r"[a-z][a-z0-9_.-]*")
ASSIGNED: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
GOES_ON: Final = frozenset(
    {"!", "{", "do", "elif", "else", "exec", "if", "look", "setsid", "then", "until", "while"}
)
"""After these a command begins."""


class Words:
    """Just enough of the shell's grammar to tell where a command begins."""

    def __init__(self, text: str) -> None:
        """Nothing has been read yet."""
        self.text = text
        self.at = 0
        self.called: list[str] = []

    def read(self, end: str = "") -> None:
        """To the end of the text, or behind ``end``."""
        begins, line = True, [""]  # the words of the command so far
        while self.at < len(self.text):
            if end and self.text.startswith(end, self.at):
                self.at += len(end)
                return
            c = self.text[self.at]
            if c == "#":
                self.at = (self.text + "\n").index("\n", self.at)
            elif self.text.startswith(";;", self.at):
                self.at += 2
                begins, line = True, [""]
                self._pattern()
            elif c in "\n;|&()":
                self.at += 1
                begins, line = True, [""]
            elif c in " \t\\":
                self.at += 1 + (c == "\\")
            elif c in "<>":
                self.at += 1
                while self.at < len(self.text) and self.text[self.at] in "<>&| ":
                    self.at += 1
                self._word()
            else:
                begins = self._one(line, begins=begins)

    def _one(self, line: list[str], *, begins: bool) -> bool:
        """A word; whether a command begins behind it."""
        start = self.at
        word = self._word()
        if ASSIGNED.match(word) and begins:
            if "\n" in word and "='" in word:
                self.called += commands(word.partition("='")[2].strip("'"))
            return True
        if line[-2:] == ["sh", "-c"] and self.text[start] == "'":
            self.called += commands(word.strip("'"))
        line.append(word)
        if begins and word == "case":
            self._until_in()
            return True
        if begins and word not in GOES_ON:
            self.called.append(word)
        if word == "-exec" or (begins and word in GOES_ON):
            return True
        first = next((w for w in line if w), "")
        return (first == "timeout" and len(line) == 5) or (first == "xargs" and word == "-0")

    def _word(self) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in " \t\n;|&()<>":
            self._piece()
        return self.text[start : self.at]

    def _piece(self) -> None:
        c = self.text[self.at]
        if c == "'":
            self.at = self.text.index("'", self.at + 1) + 1
        elif c == '"':
            self.at += 1
            while self.text[self.at] != '"':
                self._inside()
            self.at += 1
        else:
            self._inside()

    def _inside(self) -> None:
        """What means something between double quotes as well."""
        if self.text[self.at] == "\\":
            self.at += 2
        elif self.text.startswith("$((", self.at):
            self.at = self.text.index("))", self.at) + 2
        elif self.text.startswith("$(", self.at):
            self.at += 2
            self.read(")")
        elif self.text.startswith("${", self.at):
            self.at += 2
            while self.text[self.at] != "}":
                self._piece()
            self.at += 1
        else:
            self.at += 1

    def _until_in(self) -> None:
        while self._word() != "in":
            self.at += 1
        self._pattern()

    def _pattern(self) -> None:
        """Behind the pattern of a case, unless the case ends."""
        while self.text[self.at] in " \t\n" or self.text[self.at] == "#":
            self.at = self.text.index("\n", self.at) if self.text[self.at] == "#" else self.at + 1
        if re.match(r"esac\b", self.text[self.at :]):
            return
        while self.text[self.at] != ")":
            self._piece()
        self.at += 1


LIBRARY: Final = set(FUNCTION.findall("".join(TEXTS.values())))


def test_the_programs_that_a_text_calls_are_seen() -> None:
    assert commands(
        "a=$(stat -c %d x) b=1 awk '{ print }' | sort -u && ! rm x; if cmp a b; then ln x y; fi"
    ) == {*("stat", "awk", "sort", "rm", "cmp", "ln")}
    assert commands('x=$(y "$(head -n 1 "$f")" z; tail x)') == {"y", "head", "tail"}
    assert commands("timeout -s KILL $n du -s | xargs -0 stat | setsid sh -c 'read x && nice x'") == {
        *("timeout", "du", "xargs", "stat", "sh", "nice")
    }
    assert commands("find . -exec rm -rf {} + && echo cp; (ls) >cat") == {"find", "rm", "ls"}
    assert commands("case $x in a | b) cp x y ;; *) mv x y ;; esac\n# dd\nx() { tr a b; }\nx") == {
        "cp",
        "mv",
        "tr",
    }
    assert {"mke2fs", "dumpe2fs", "blkid", "vzctl", "readlink"} <= commands(TEXTS["library.sh"])
    assert {"mv", "sync"} <= commands(TEXTS["memory.sh"])
    assert {"rsync", "sync", "cat", "find"} <= commands(TEXTS["copy-tree.sh"])
    assert {"find", "xargs", "stat", "base64", "df", "du"} <= commands(TEXTS["probe.sh"])


@pytest.mark.parametrize("name", TEXTS)
def test_no_text_calls_a_program_that_an_old_node_has_not(name: str) -> None:
    assert commands(TEXTS[name]) - LIBRARY - ELSEWHERE <= rhel6.TOOLS.keys()


@pytest.mark.parametrize("name", TEXTS)
def test_no_text_names_a_file_that_others_could_have_made(name: str) -> None:
    """What a run writes is in its own folder, or beside what it changes, where only root may write."""
    assert not re.search(r"/tmp|/var/tmp|/dev/shm|TMPDIR|mktemp", TEXTS[name])  # noqa: S108 # none is used


@pytest.mark.parametrize("name", TEXTS)
def test_no_text_evaluates_what_it_was_told(name: str) -> None:
    evaluated = [line.strip() for line in TEXTS[name].splitlines() if re.search(r"\beval\b", line)]
    sourced = re.findall(r"(?m)^\s*(?:\.|source) \S+", TEXTS[name])
    assert sourced == []
    assert evaluated == (
        [('eval "text=\\$v_$name" # the name of a verb of ours; nothing of the node\'s is evaluated')]
        if name == "wrapper.sh"
        else []
    )


# --- the stand-ins


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rhel6")
    rhel6.lay(folder, dict.fromkeys(rhel6.TOOLS, "/bin/true"))
    return folder


def call(old: Path, words: str) -> tuple[int, str]:
    """Exit status, and what was refused."""
    done = subprocess.run(
        ["/bin/sh", "-c", words],
        env={**os.environ, "PATH": f"{old}:{rhel6.PATH}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "awk -i inplace x",
        "base64 --wrap=0 a b",
        "blkid -c /dev/null -o export /dev/sda1",
        "blkid --output value",
        "cp --reflink=auto a b",
        "dd if=a of=b conv=fsync,sparse",
        "dd if=a of=b status=none",
        "dd if=a of=b oflag=seek_bytes",
        "df --output=avail /",
        "du --inodes /",
        "du --threshold=1 /",
        "find / -newermt 2020-01-01",
        "find -files0-from x",
        "flock -E 3 9",
        "flock -F 9 true",
        "ln -r a b",
        "mke2fs --help",
        "mount --mkdir a b",
        "mount -N ns a b",
        "mv --exchange a b",
        "readlink -f a b",
        "rsync --info=progress2 a b",
        "rsync --mkpath a b",
        "rsync --zc=zstd a b",
        "rsync -aU a b",
        "setsid --wait true",
        "setsid -w true",
        "setsid -f true",
        "sed -z x",
        "sort --parallel=2",
        "ssh -J a b",
        "stat --cached=never x",
        "sync /vz",
        "sync -f /vz",
        "timeout -k 5 10 true",
        "timeout --foreground 10 true",
        "umount -R /vz",
        "umount -q /vz",
        "xargs -0 --process-slot-var=x true",
    ],
)
def test_what_an_old_tool_does_not_know_is_refused(old: Path, words: str) -> None:
    status, said = call(old, words)
    assert status == rhel6.REFUSED, said
    assert said.startswith(f"{words.split(maxsplit=1)[0]}: RHEL 6 has no ")
    assert said in (old / rhel6.LOG).read_text()


@pytest.mark.parametrize(
    "words",
    [
        "base64 -w 0 x",
        "blkid -c /dev/null -s UUID -o value /dev/sda1",
        "blockdev --flushbufs /dev/sda1",
        "dd of=x oflag=append conv=notrunc,fsync",
        "find . -xdev -mindepth 1 ! -name lost+found -exec rm -rf --one-file-system -- {} +",
        "flock -w 20 9",
        "grep -n -F -x -e -x y",
        "head -n 1",
        "mount /dev/sda1 /vz",
        "rm -rf --one-file-system -- --reflink",
        "rsync -aHAXS --numeric-ids --exclude=/x -e 'ssh -J x' --rsync-path=x ./ hn2:./",
        "rsync --server -logDtpHAXrxSe.iLsfxCIvu --new-option . ./",
        "setsid sh -c 'true --wait'",
        "ssh -o BatchMode=yes -- hn2 exec /bin/sh",
        "stat -L -c %a x",
        "sync",
        "tail -n +2",
        "timeout -s KILL 30 df --output=avail",
        "umount -- /vz",
        "xargs -0 stat -L -c '%F|%t %T|%n'",
    ],
)
def test_what_an_old_tool_knows_is_passed_on(old: Path, words: str) -> None:
    assert call(old, words) == (0, "")
