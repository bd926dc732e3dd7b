#!/usr/bin/env python3
"""Makes the test vectors of docs/mip-format.md, from that page alone.

Uses struct, hashlib and zlib.crc32 only: no ZIP library, nothing of the Rust crates.

    make_mip.py FOLDER    writes vector-unsigned.mip and vector-signed.mip
"""

import hashlib
import struct
import sys
import zlib
from pathlib import Path

BLOCK = 1 << 20
ALIGNMENT = 4096
LONG = 0xFFFFFFFF
ROLES = {"Info.plist": 1, "icon.png": 2, "scripts": 3, "payload": 4}


def text(value):
    raw = value.encode()
    return struct.pack("<H", len(raw)) + raw


def role(name):
    return ROLES[name.split("/")[0]]


def local_header(name, content, start):
    raw = name.encode()
    crc, size, extra = zlib.crc32(content), len(content), b""
    if name.startswith("payload/"):
        extra = struct.pack("<HHQQ", 0x0001, 16, size, size)
        zeros = -(start + 30 + len(raw) + len(extra) + 6) % ALIGNMENT
        extra += struct.pack("<HHH", 0xD935, 2 + zeros, ALIGNMENT) + bytes(zeros)
        size = LONG
    head = struct.pack(
        "<IHHHHHIIIHH",
        0x04034B50, 45, 0x0800, 0, 0, 0x0021, crc, size, size, len(raw), len(extra),
    )
    return head + raw + extra


def directory_record(name, mode, content, start):
    raw, size = name.encode(), len(content)
    long_values = [v for v in (size, size, start) if v >= LONG]
    extra = b""
    if long_values:
        extra = struct.pack("<HH", 0x0001, 8 * len(long_values))
        extra += struct.pack(f"<{len(long_values)}Q", *long_values)
    head = struct.pack(
        "<IHHHHHHIIIHHHHHII",
        0x02014B50, 0x032D, 45, 0x0800, 0, 0, 0x0021, zlib.crc32(content),
        min(size, LONG), min(size, LONG), len(raw), len(extra), 0, 0, 0,
        (0o100000 | mode) << 16, min(start, LONG),
    )
    return head + raw + extra


def tail(count, start, size):
    end64 = struct.pack(
        "<IQHHIIQQQQ", 0x06064B50, 44, 0x032D, 45, 0, 0, count, count, size, start
    )
    locator = struct.pack("<IIQI", 0x07064B50, 0, start + size, 1)
    end = struct.pack(
        "<IHHHHIIH", 0x06054B50, 0, 0, min(count, 0xFFFF), min(count, 0xFFFF),
        min(size, LONG), min(start, LONG), 0,
    )
    return end64 + locator + end


def archive(product, version, entries, signature=None):
    """entries: (name, mode, content) of the body. Returns the archive and its index."""
    entries = sorted(entries, key=lambda e: (role(e[0]), e[0].encode()))
    out, directory, table = b"", b"", b""
    for name, mode, content in entries:
        start = len(out)
        out += local_header(name, content, start)
        data = len(out)
        out += content
        directory += directory_record(name, mode, content, start)
        table += struct.pack("<BH", role(name), mode) + text(name)
        table += struct.pack("<QIQQ", len(content), zlib.crc32(content), start, data)
        table += hashlib.sha256(content).digest()

    body = len(out)
    blocks = [out[at : at + BLOCK] for at in range(0, body, BLOCK)]
    index = b"MIPINDEX" + struct.pack("<I", 1)
    index += text("mip: index of a product archive, profile 1") + text(product) + text(version)
    index += struct.pack("<QBI", body, 20, len(entries)) + table
    index += struct.pack("<Q", len(blocks))
    index += b"".join(hashlib.sha256(b).digest() for b in blocks)

    own = [("META-MIP/index.bin", index)]
    if signature is not None:
        own.append(("META-MIP/signature.p7s", signature))
    for name, content in own:
        start = len(out)
        out += local_header(name, content, start) + content
        directory += directory_record(name, 0o644, content, start)
    start = len(out)
    out += directory + tail(len(entries) + len(own), start, len(directory))
    return out, index


ENTRIES = [
    ("Info.plist", 0o644, Path(__file__).with_name("Info.plist").read_bytes()),
    ("icon.png", 0o644, b"\x89PNG\r\n\x1a\n"),
    ("scripts/detection.sh", 0o755, b"#!/bin/sh\nexit 0\n"),
    ("scripts/uninstall.sh", 0o755, b"#!/bin/sh\nexit 1\n"),
    ("payload/Größe 大.pkg", 0o644, bytes(i % 251 for i in range(1000))),
]


def main():
    folder = Path(sys.argv[1])
    for name, signature in (("unsigned", None), ("signed", b"not a CMS signature")):
        made, index = archive("com.example.vector", "1.0", ENTRIES, signature)
        (folder / f"vector-{name}.mip").write_bytes(made)
        print(f"vector-{name}.mip", len(made), hashlib.sha256(made).hexdigest())
    print("index.bin", len(index), hashlib.sha256(index).hexdigest())


if __name__ == "__main__":
    main()
