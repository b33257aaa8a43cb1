"""Flip, cut, swap and repeat bytes of a file, whatever its encoding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

Mutation = Callable[[bytes, Random], bytes]

_BLOCK = 64
_RECORD = 56
_ZSTD = b"\x28\xb5\x2f\xfd"


def _flip_bit(data: bytes, at: int, rng: Random) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _any_bit(data: bytes, rng: Random) -> bytes:
    return _flip_bit(data, rng.randrange(len(data)), rng)


def _burst(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data) - 16)
    return data[:at] + rng.randbytes(16) + data[at + 16 :]


FLIPS: Final[Mapping[str, Mutation]] = {
    "first byte": lambda data, rng: _flip_bit(data, 0, rng),
    "second byte": lambda data, rng: _flip_bit(data, 1, rng),
    "third or fourth byte": lambda data, rng: _flip_bit(data, rng.choice((2, 3)), rng),
    "first byte to 0": lambda data, rng: b"\0" + data[1:],
    "middle byte": lambda data, rng: _flip_bit(data, len(data) // 2, rng),
    "last byte": lambda data, rng: _flip_bit(data, len(data) - 1, rng),
    "bit of the first eighth": lambda data, rng: _flip_bit(
        data, rng.randrange(len(data) // 8), rng
    ),
    "any bit": _any_bit,
    "any other bit": _any_bit,
    "16 bytes": _burst,
}


def _without_last_record(data: bytes, rng: Random) -> bytes:
    """Cut where a reader may take the rest for a whole file: between lines, frames or records."""
    if data.endswith(b"\n"):
        return data[: data.rindex(b"\n", 0, -1) + 1]
    if data.count(_ZSTD) > 1:
        return data[: data.rindex(_ZSTD)]
    return data[:-_RECORD]


def _without_block(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data) - _BLOCK)
    return data[:at] + data[at + _BLOCK :]


CUTS: Final[Mapping[str, Mutation]] = {
    "to nothing": lambda data, rng: b"",
    "to one byte": lambda data, rng: data[:1],
    "to nine bytes": lambda data, rng: data[:9],
    "in half": lambda data, rng: data[: len(data) // 2],
    "somewhere": lambda data, rng: data[: rng.randrange(10, len(data) - 1)],
    "by one byte": lambda data, rng: data[:-1],
    "by a record": _without_last_record,
    "first byte off": lambda data, rng: data[1:],
    "first block off": lambda data, rng: data[_BLOCK:],
    "a block out": _without_block,
}


def _swap_blocks(data: bytes, rng: Random) -> bytes:
    count = len(data) // _BLOCK
    first, second = sorted(rng.sample(range(count), 2))
    blocks = [data[i * _BLOCK : (i + 1) * _BLOCK] for i in range(count)]
    blocks[first], blocks[second] = blocks[second], blocks[first]
    return b"".join(blocks) + data[count * _BLOCK :]


def _swap_records(data: bytes, rng: Random) -> bytes:
    """Swap the last two lines or records: the same bars in another order."""
    if data.endswith(b"\n"):
        lines = data.splitlines(keepends=True)
        return b"".join([*lines[:-2], lines[-1], lines[-2]])
    return data[: -2 * _RECORD] + data[-_RECORD:] + data[-2 * _RECORD : -_RECORD]


def _swap_neighbours(data: bytes, rng: Random) -> bytes:
    places = [i for i in range(len(data) - 1) if data[i] != data[i + 1]]
    at = rng.choice(places)
    return data[:at] + data[at + 1 : at + 2] + data[at : at + 1] + data[at + 2 :]


SWAPS: Final[Mapping[str, Mutation]] = {
    "two blocks": _swap_blocks,
    "halves": lambda data, rng: data[len(data) // 2 :] + data[: len(data) // 2],
    "two records": _swap_records,
    "two bytes": _swap_neighbours,
}


def _repeat_block(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data) - _BLOCK)
    return data[: at + _BLOCK] + data[at : at + _BLOCK] + data[at + _BLOCK :]


def _repeat_record(data: bytes, rng: Random) -> bytes:
    if data.endswith(b"\n"):
        lines = data.splitlines(keepends=True)
        line = rng.choice(lines)
        return b"".join([*lines, line])
    return data + data[-_RECORD:]


REPEATS: Final[Mapping[str, Mutation]] = {
    "a block": _repeat_block,
    "a record": _repeat_record,
    "the whole": lambda data, rng: data + data,
    "the end": lambda data, rng: data + data[-7:],
    "zeros at the end": lambda data, rng: data + bytes(1000),
}
