#!/usr/bin/env python3
"""Compares versions as docs/decisions/0012-versions.md says, written apart from the Rust code.

Reads lines `a<TAB>op<TAB>b` from standard input; ends with status 1 at the first that it sees
otherwise. Comment lines ("# ...") are passed over.
"""
import functools
import itertools
import re
import sys


def key(version):
    """Two lists: the release, and the rest. Numbers are (1, n), letters (0, text)."""
    first = re.search(r"[0-9]", version)
    release, rest = ("", version) if first is None else re.fullmatch(
        r"([0-9.]+)(.*)", version[first.start():], re.DOTALL).groups()
    numbers = [(1, int(n)) for n in release.split(".") if n]
    tokens = re.findall(r"[0-9]+|[A-Za-z]+", rest)
    return numbers, [(1, int(t)) if t.isdigit() else (0, t.lower()) for t in tokens]


def compare(a, b):
    for x, y in zip(key(a), key(b)):
        for m, n in itertools.zip_longest(x, y, fillvalue=(1, 0)):
            if m != n:
                return -1 if m < n else 1
    return 0


def main():
    known = functools.lru_cache(None)(compare)
    count = 0
    for line in sys.stdin.buffer.read().decode("utf-8").split("\n"):
        if not line or line.startswith("# "):
            continue
        a, op, b = line.split("\t")
        if {"<": -1, "=": 0, ">": 1}[op] != known(a, b):
            sys.exit(f"not so: {a!r} {op} {b!r}")
        count += 1
    print(count, "pairs agree")


if __name__ == "__main__":
    main()
