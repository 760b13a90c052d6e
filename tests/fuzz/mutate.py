"""Damage: what happens to bytes, words, lines and values on their way. Every function takes and gives bytes."""

import re

import numpy as np

__all__ = ["change_bytes", "change_text", "change_words", "some"]

_ODD_BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF, 0x0A, 0x22)

ODD_NUMBERS = (
    "0",
    "-1",
    "1",
    "-0",
    "+5",
    "0x10",
    "1e3",
    "1e999",
    "1e-999",
    "-1e300",
    "nan",
    "inf",
    "-inf",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "-9223372036854775809",
    "9" * 40,
    "9" * 5000,
    "1,5",
    "1.5",
    "1_000",
    "\u0663",
    "",
    " ",
    "''",
    "true",
    "null",
    "[]",
    "{}",
    "[1, 2]",
    "1e9",
    "65536",
    "1000000000000",
)
ODD_WORDS = (
    "",
    " ",
    "\x00",
    "\ufeff",
    "\u2212",
    "\u00b5",
    "\x1b[31m",
    "../../x",
    "/etc/passwd",
    "a" * 3000,
    "m**9**9**9",
    "(" * 500,
    "[" * 3000,
    "{" * 3000,
    "&a [*a]",
    "*a",
    "!!python/object:os.system",
    "5 furlongs",
    "1 m^-1",
    "1,2 us",
    "1e400 m",
    "nan mm",
    "-3 px",
    "2020-13-45",
    "\ud7ff",
    "%s%n",
    "5 " + "m*" * 300 + "m",
    "1 " + "k" * 200 + "m",
    '"' * 3,
    "'''",
    "#",
    "=",
    ":",
    "- ",
    "\t",
    "\r",
)


def some(rng, values):
    """One of the values, drawn at random."""
    return values[int(rng.integers(len(values)))]


def _place(rng, content, most=64):
    start = int(rng.integers(len(content) + 1))
    return start, min(start + int(rng.integers(1, most + 1)), len(content))


def _flip(rng, content):
    out = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        if out:
            out[int(rng.integers(len(out)))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def _set(rng, content):
    start, stop = _place(rng, content, 8)
    return content[:start] + bytes([some(rng, _ODD_BYTES)]) * (stop - start) + content[stop:]


def _noise(rng, content):
    start, stop = _place(rng, content)
    return content[:start] + rng.bytes(stop - start) + content[stop:]


def _drop(rng, content):
    start, stop = _place(rng, content, max(len(content) // 4, 1))
    return content[:start] + content[stop:]


def _insert(rng, content):
    start, _ = _place(rng, content)
    return content[:start] + rng.bytes(int(rng.integers(1, 33))) + content[start:]


def _repeat(rng, content):
    start, stop = _place(rng, content, 512)
    return content[:stop] + content[start:stop] * int(rng.integers(1, 4)) + content[stop:]


def _cut(rng, content):
    return content[: int(rng.integers(len(content) + 1))]


def _swap(rng, content):
    a, b = _place(rng, content, 256)
    c, d = _place(rng, content[b:], 256)
    c, d = b + c, b + d
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


_BYTES = (_flip, _flip, _flip, _set, _noise, _drop, _insert, _repeat, _cut, _swap)


def change_bytes(rng, content):
    """One change that knows nothing of a format."""
    return some(rng, _BYTES)(rng, content)


def _words_of(content):
    return np.frombuffer(content[: len(content) // 8 * 8], "<u8").copy(), content[len(content) // 8 * 8 :]


def change_words(rng, content, change):
    """One change of whole 64-bit words: dropped, repeated, moved, or altered by `change(rng, word)`."""
    words, tail = _words_of(content)
    if not len(words):
        return change_bytes(rng, content)
    i = int(rng.integers(len(words)))
    n = int(rng.integers(1, 9))
    how = int(rng.integers(8))
    if how == 0:
        words = np.delete(words, slice(i, i + n))
    elif how == 1:
        words = np.insert(words, i, words[i : i + n])
    elif how == 2:
        j = int(rng.integers(len(words)))
        words[[i, j]] = words[[j, i]]
    elif how == 3:
        words = words[: i + 1]
    else:
        for k in rng.integers(len(words), size=1 if how < 7 else n):
            words[k] = np.uint64(change(rng, int(words[k])) & (2**64 - 1))
    return words.tobytes() + tail


_NUMBER = re.compile(rb"[-+]?\d[\d.eE+]*")


def _other_number(rng, content):
    # the first from a place on: all of them are a hundred thousand in a table of pixels
    start = int(rng.integers(len(content) + 1))
    m = _NUMBER.search(content, start) or _NUMBER.search(content)
    if m is None:
        return change_bytes(rng, content)
    return content[: m.start()] + some(rng, ODD_NUMBERS).encode() + content[m.end() :]


def _other_word(rng, content):
    start, stop = _place(rng, content, 12)
    if rng.integers(2):
        stop = start
    return content[:start] + some(rng, ODD_WORDS).encode("utf-8", "replace") + content[stop:]


def _other_lines(rng, content):
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    i, j = (int(k) for k in rng.integers(len(lines), size=2))
    how = int(rng.integers(6))
    if how == 0:
        del lines[i]
    elif how == 1:
        lines.insert(j, lines[i])
    elif how == 2:
        lines[i], lines[j] = lines[j], lines[i]
    elif how == 3:
        lines = [line.replace(b"\n", some(rng, (b"\r\n", b"\r", b"\n\n", b"\x00"))) for line in lines]
    elif how == 4:
        parts = re.split(rb"(\s+|=|:|,)", lines[i])
        k = int(rng.integers(len(parts)))
        parts[k] = some(rng, (b"", b"\t", b" ", b",", b";", b"1", b"=", b":", parts[k] * 2))
        lines[i] = b"".join(parts)
    else:
        lines.insert(j, lines[i].rstrip(b"\r\n") * int(rng.integers(2, 50)) + b"\n")
    return b"".join(lines)


def _other_head(rng, content):
    return some(rng, (b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"\n", b"# ", b"{", b"%YAML 1.1\n---\n")) + content


_TEXT = (_other_number, _other_number, _other_word, _other_lines, _other_lines, _other_head, change_bytes)


def change_text(rng, content):
    """One change of text: numbers, words, lines, or bytes."""
    return some(rng, _TEXT)(rng, content)
