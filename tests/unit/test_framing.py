"""One stream cut into answers: the cuts between reads never matter, and nothing that a command says ends its answer."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from executor.framing import Stream

NONCE = b"0123456789abcdef"
KEEP = 64


class Heard(NamedTuple):
    """What a stream came to."""

    said: bytes
    trailer: bytes | None
    rest: bytes
    spoken: bytes


def heard(chunks: list[bytes], keep: int = KEEP) -> Heard:
    spoken = bytearray()
    stream = Stream(NONCE, keep, spoken.extend)
    for chunk in chunks:
        stream.feed(chunk)
    return Heard(stream.said(), stream.trailer, stream.rest, bytes(spoken))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(min(place, len(data)) for place in places)})
    return [data[a:b] for a, b in pairwise(ends)]


# Pieces of which an output is made that looks like a trailer, and is none.
PIECES = (
    b"\n",
    b"\n\n",
    NONCE,
    NONCE[:-1],
    b"\n" + NONCE[:-1],
    b"\n" + NONCE[:1],
    b" " + NONCE + b" 0\n",
    b"\n " + NONCE + b" 0\n",
    NONCE[1:] + b" 0\n",
    NONCE.upper(),
    b"\n" + NONCE[::-1] + b" 0\n",
    b"x" * KEEP,
    b"\0\r\xff",
)

outputs = (
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=40)), max_size=12)
    .map(b"".join)
    .filter(lambda output: b"\n" + NONCE not in b"\n" + output)
)
places = st.lists(st.integers(0, 600), max_size=30)
trailers = st.sampled_from((b"", b" 0", b" 120", b" 255"))


@given(output=outputs, trailer=trailers, rest=st.binary(max_size=60), places=places)
@example(output=b"", trailer=b"", rest=b"", places=[])
@example(output=b"\n" * 5, trailer=b" 0", rest=b"\n", places=list(range(100)))
def test_however_the_bytes_are_cut_the_answer_is_the_same(
    output: bytes, trailer: bytes, rest: bytes, places: list[int]
) -> None:
    data = output + b"\n" + NONCE + trailer + b"\n" + rest
    whole = heard([data], keep=len(data))
    assert whole == Heard(output, trailer.strip(), rest, output)
    assert heard(cut(data, places), keep=len(data)) == whole
    assert heard([bytes([byte]) for byte in data], keep=len(data)) == whole


@given(output=outputs, trailer=trailers, places=places)
def test_however_the_bytes_are_cut_the_same_part_of_a_long_answer_is_kept(
    output: bytes, trailer: bytes, places: list[int]
) -> None:
    data = output * 3 + b"\n" + NONCE + trailer + b"\n"
    assert heard(cut(data, places)) == heard([data]) == heard([bytes([byte]) for byte in data])


@given(output=outputs, places=places)
def test_without_a_trailer_the_answer_goes_on_and_all_that_was_said_is_kept(
    output: bytes, places: list[int]
) -> None:
    for begun in (b"", b"\n", b"\n" + NONCE[:-1], b"\n" + NONCE, b"\n" + NONCE + b" 12"):
        data = output + begun
        got = heard(cut(data, places), keep=len(data) + 1)
        assert (got.said, got.trailer, got.rest) == (data, None, b"")
        assert data.startswith(got.spoken)


@given(output=st.binary(max_size=1000), keep=st.integers(0, 100), places=places)
def test_of_a_long_answer_head_and_tail_are_kept_and_the_gap_is_counted(
    output: bytes, keep: int, places: list[int]
) -> None:
    data = output.replace(NONCE[:1], b"?") + b"\n" + NONCE + b" 0\n"
    output = output.replace(NONCE[:1], b"?")
    got = heard(cut(data, places), keep=keep)
    dropped = len(output) - 2 * keep
    if dropped <= 0:
        assert got.said == output
    else:
        gap = b"\n[... %d bytes left out ...]\n" % dropped
        assert got.said == output[:keep] + gap + output[len(output) - keep :]
    assert got.spoken == output, "who listens hears all of it"


def test_what_is_kept_of_an_endless_answer_does_not_grow() -> None:
    stream = Stream(NONCE, KEEP)
    for _ in range(1000):
        stream.feed(b"y\n" * 500)
        assert len(stream._head) + len(stream._tail) + len(stream._pending) <= 2 * KEEP + len(NONCE)
    assert stream.trailer is None
    assert len(stream.said()) < 3 * KEEP


@pytest.mark.parametrize("rest", [b"", b"\n", b"more\n", b"\n" + NONCE + b" 7\n", NONCE + b" 7\n"])
def test_what_comes_behind_the_trailer_is_no_part_of_the_answer(rest: bytes) -> None:
    data = b"out\n" + NONCE + b" 3\n"
    assert heard([data + rest]) == heard([data, rest]) == Heard(b"out", b"3", rest, b"out")


@given(rest=st.lists(st.binary(max_size=20), max_size=5))
def test_what_is_fed_after_the_trailer_is_kept_as_rest_in_its_order(rest: list[bytes]) -> None:
    got = heard([b"\n" + NONCE + b"\n", *rest], keep=100)
    assert got == Heard(b"", b"", b"".join(rest), b"")


@pytest.mark.parametrize(
    "output",
    [
        NONCE + b" 0\n",  # no line of its own before it: the stream began in the middle of one
        b"a " + NONCE + b" 0\n",
        b"\n" + NONCE[:-1] + b"\n" + NONCE[:-1] + b" 0\n",
        b"\n\n" + NONCE[:8] + b"\n" + NONCE[8:] + b" 0\n",
        b"\n" + NONCE.upper() + b" 0\n",
    ],
)
def test_a_line_that_only_resembles_the_trailer_ends_nothing(output: bytes) -> None:
    assert heard([output], keep=1000) == Heard(output, None, b"", heard([output], keep=1000).spoken)
    data = output + b"\n" + NONCE + b" 9\n"
    assert heard([data], keep=1000) == Heard(output, b"9", b"", output)
    assert heard([bytes([byte]) for byte in data], keep=1000) == Heard(output, b"9", b"", output)


def test_an_output_without_a_newline_at_its_end_is_not_given_one() -> None:
    assert heard([b"no newline\n" + NONCE + b" 0\n"]).said == b"no newline"
    assert heard([b"newline\n\n" + NONCE + b" 0\n"]).said == b"newline\n"


@pytest.mark.parametrize("endless", [b"\n" + NONCE + b" ", b"\n" + NONCE + b" 0\n"], ids=["within", "behind"])
def test_what_never_ends_at_its_trailer_or_behind_it_is_not_kept(endless: bytes) -> None:
    stream = Stream(NONCE, KEEP)
    stream.feed(b"out" + endless)
    for _ in range(1000):
        stream.feed(b"9" * 500)
        assert len(stream._pending) + len(stream.rest) <= 500 + KEEP + len(NONCE)
    assert stream.trailer is not None
    assert len(stream.trailer) <= 64
    assert stream.said() == b"out"


def test_what_stands_behind_a_nonce_may_be_64_bytes_long_and_its_end_may_come_later() -> None:
    for words, heard_of in ((b"9" * 63, b"9" * 63), (b"9" * 64, b"9" * 63)):
        stream = Stream(NONCE, KEEP)
        stream.feed(b"out\n" + NONCE + b" " + words)
        assert (stream.trailer is None) == (words == heard_of)
        stream.feed(b"\n")
        assert (stream.trailer, stream.said()) == (heard_of, b"out")
