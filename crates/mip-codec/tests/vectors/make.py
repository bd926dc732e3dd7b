#!/usr/bin/env python3
"""Makes the vectors of this folder with tools that share no code with mip (gzip and zlib of
Python, xz and bzip2 of the system). Every vector decodes to `plain`, except where said."""
import bz2, gzip, lzma, pathlib, struct, subprocess, zlib

here = pathlib.Path(__file__).parent
plain = b"".join(b"line %d of the text\n" % i for i in range(120))
half = len(plain) // 2


def put(name, data):
    (here / name).write_bytes(data)


def xz(*args, data=plain):
    return subprocess.run(["xz", "-c", *args], input=data, capture_output=True, check=True).stdout


def member(data, flags=0, header=b""):
    """A gzip member with the optional header fields of `flags`."""
    head = b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\x03" + header
    if flags & 2:
        head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    z = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = z.compress(data) + z.flush()
    return head + body + struct.pack("<II", zlib.crc32(data), len(data))


put("plain", plain)
put("gzip", gzip.compress(plain, mtime=0))
put("gzip-fields", member(plain, 2 | 4 | 8 | 16, b"\x05\0extranam\0comment\0"))
put("gzip-members", member(plain[:half]) + member(b"") + member(plain[half:], 8, b"n\0"))
put("zlib", zlib.compress(plain, 9))
put("bzip2", bz2.compress(plain))
put("bzip2-streams", bz2.compress(plain[:half]) + bz2.compress(b"") + bz2.compress(plain[half:]))
for check in ("none", "crc32", "crc64", "sha256"):
    put(f"xz-{check}", xz("-C", check))
put("xz-blocks", xz("-T2", "--block-size=500"))
put("xz-streams", xz(data=plain[:half]) + bytes(8) + xz(data=b"") + xz(data=plain[half:]) + bytes(4))
put("xz-filters", xz("--x86", "--delta=dist=3", "--lzma2=dict=4KiB"))
put("xz-arm64", xz("--arm64", "--lzma2=dict=4KiB"))
put("lzma", xz("--format=lzma"))


def chunks(letter, block, pieces, pack):
    out = b"pbz" + letter + struct.pack(">Q", block)
    for p in pieces:
        stored = pack(p)
        out += struct.pack(">QQ", len(p), len(stored)) + stored
    return out


n = 1000
pieces = [plain[i : i + n] for i in range(0, len(plain), n)]
put("pbzx", chunks(b"x", n, pieces, lambda p: lzma.compress(p)))
first = iter([True])
put("pbzx-raw", chunks(b"x", n, pieces, lambda p: p if next(first, False) else lzma.compress(p)))
# A whole number of blocks: nothing but the end of the file ends it.
put("pbzx-full", chunks(b"x", half, [plain[:half], plain[half:]], lambda p: lzma.compress(p)))


def adc(data):
    """ADC, greedy, with all three kinds of operations."""
    out, at, start = b"", 0, 0

    def flush(end):
        nonlocal out, start
        while start < end:
            run = data[start : min(end, start + 128)]
            out += bytes([0x7F + len(run)]) + run
            start += len(run)

    while at < len(data):
        best, dist = 0, 0
        for d in range(1, min(at, 65536) + 1):
            n = 0
            while n < 67 and at + n < len(data) and data[at + n - d] == data[at + n]:
                n += 1
            if n > best:
                best, dist = n, d
        if 3 <= best <= 18 and dist <= 1024:
            flush(at)
            out += bytes([(best - 3) << 2 | (dist - 1) >> 8, (dist - 1) & 0xFF])
        elif best >= 4:
            flush(at)
            out += bytes([0x40 | best - 4]) + struct.pack(">H", dist - 1)
        else:
            at += 1
            continue
        at += best
        start = at
    flush(at)
    return out


put("adc", adc(plain))

# `mixed`: runs, near and far repeats and noise, for the operations of LZVN and LZFSE.
state, noise = 1, bytearray()
for _ in range(3000):
    state = state * 1103515245 + 12345 & 0x7FFFFFFF
    noise.append(state >> 16 & 0xFF)
noise = bytes(noise)
mixed = noise[:700] + b"\0" * 400 + noise[100:600] + noise[1000:1100] + b"ab" * 40 + noise
mixed += noise[50:60] + noise[2000:2300] + plain[:300] + mixed[:20]
put("mixed", mixed)

# The reference encoder: a shared library of github.com/lzfse/lzfse, named by the environment.
import ctypes, os

if path := os.environ.get("LIBLZFSE"):
    lib = ctypes.CDLL(path)
    lib.lzvn_encode_buffer.restype = lib.lzfse_encode_buffer.restype = ctypes.c_size_t

    def encode(name, data):
        scratch = ctypes.create_string_buffer(4 << 20)
        room = 2 * len(data) + 1000
        out = ctypes.create_string_buffer(room)
        size = ctypes.c_size_t
        n = getattr(lib, name)(out, size(room), data, size(len(data)), scratch)
        assert n
        return out.raw[:n]

    put("lzvn", encode("lzvn_encode_buffer", plain))
    put("lzvn-mixed", encode("lzvn_encode_buffer", mixed))
    # Below 4 KiB the encoder writes a bvxn block, above bvx2.
    put("lzfse-vn", encode("lzfse_encode_buffer", plain))
    put("lzfse-mixed", encode("lzfse_encode_buffer", mixed))
