#!/usr/bin/env python3
"""Lists a disk image with readers that are not ours: libmodi, libfshfs, libfsapfs.

    images_oracle.py IMAGE [PASSWORD]

Prints one JSON object per line: {"volume", "path", "kind", "size", "sha256" or "link"} for each
file, folder and link, {"volume", "path", "error"} for what the library could not read, and
{"skipped": why} for an image or a volume that none of them reads.
Partition maps are read here: none of the three libraries does that.
"""

import gzip
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile

import pyfsapfs
import pyfshfs
import pymodi

SECTOR = 512
PRIVATE = ("\0\0\0\0HFS+ Private Data", "\u2400\u2400\u2400\u2400HFS+ Private Data",
           ".HFS+ Private Directory Data\r")


LINES = []


def say(**what):
    LINES.append(what)


class Window:
    """A part of a file object, as the libraries want one."""

    def __init__(self, base, start, size):
        self.base, self.start, self.size, self.at = base, start, size, 0

    def read(self, n=None):
        n = self.size - self.at if n is None else max(0, min(n, self.size - self.at))
        self.base.seek(self.start + self.at)
        data = self.base.read(n) if n else b""
        self.at += len(data)
        return data

    def seek(self, offset, whence=os.SEEK_SET):
        self.at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.size}[whence]
        return self.at

    def tell(self):
        return self.at

    def get_offset(self):
        return self.at

    def get_size(self):
        return self.size

    def bytes_at(self, offset, n):
        self.seek(offset)
        return self.read(n)


def partitions(disk):
    """Start and size of each part that may be a volume; the whole disk without a map."""
    gpt = disk.bytes_at(SECTOR, 92)
    if gpt[:8] == b"EFI PART":
        first, count, size = struct.unpack("<QII", gpt[72:88])
        table = disk.bytes_at(first * SECTOR, count * size)
        for i in range(count):
            row = table[i * size:][:48]
            if any(row[:16]):
                start, end = struct.unpack("<QQ", row[32:48])
                yield start * SECTOR, (end + 1 - start) * SECTOR
        return
    if disk.bytes_at(SECTOR, 2) == b"PM":
        count = struct.unpack(">I", disk.bytes_at(SECTOR + 4, 4))[0]
        for i in range(count):
            start, size = struct.unpack(">II", disk.bytes_at((1 + i) * SECTOR + 8, 8))
            yield start * SECTOR, size * SECTOR
        return
    head = disk.bytes_at(0, SECTOR)
    mbr = head[510:512] == b"\x55\xaa" and head[3:11].rstrip(b"\0 ") == b""
    if mbr and not is_volume(disk):
        for i in range(4):
            row = head[446 + 16 * i:][:16]
            start, size = struct.unpack("<II", row[8:16])
            if row[4] and size:
                yield start * SECTOR, size * SECTOR
        return
    yield 0, disk.size


def is_volume(part):
    return part.bytes_at(32, 4) == b"NXSB" or part.bytes_at(1024, 2) in (b"H+", b"HX", b"BD")


def walk(volume, entry, above, apfs):
    for sub in entry.sub_file_entries:
        name = sub.name
        # HFS+ keeps "/" of a name where POSIX shows ":"; libfshfs does not turn it.
        name = name if apfs else name.replace("/", ":")
        if not apfs and not above and name in PRIVATE:
            continue
        path = above + name
        kind = {4: "directory", 8: "file", 10: "symlink"}.get((sub.file_mode or 0) >> 12, "other")
        found = {"volume": volume, "path": path, "kind": kind, "size": sub.size}
        try:
            if kind == "symlink":
                found["link"] = sub.symbolic_link_target
            elif kind == "file":
                digest = hashlib.sha256()
                left = sub.size
                while left:
                    data = sub.read(min(left, 1 << 20))
                    if not data:
                        raise OSError("ends early")
                    digest.update(data)
                    left -= len(data)
                found["sha256"] = digest.hexdigest()
        except OSError as e:
            say(volume=volume, path=path, error=str(e))
            continue
        say(**found)
        if kind == "directory":
            walk(volume, sub, path + "/", apfs)


def part(base, start, size, password):
    window = Window(base, start, size)
    if window.bytes_at(32, 4) == b"NXSB":
        container = pyfsapfs.container()
        window.seek(0)
        container.open_file_object(window)
        for i in range(container.number_of_volumes):
            volume = container.get_volume(i)
            if volume.is_locked():
                if password is None:
                    say(skipped=f"volume {i} is encrypted")
                    continue
                volume.set_password(password)
                if not volume.unlock():
                    say(skipped=f"volume {i}: libfsapfs does not unlock it")
                    continue
            walk(volume.name, volume.get_root_directory(), "", True)
        return True
    signature = window.bytes_at(1024, 2)
    if signature in (b"H+", b"HX"):
        volume = pyfshfs.volume()
        window.seek(0)
        volume.open_file_object(window)
        walk(volume.name, volume.get_root_directory(), "", False)
        return True
    return False


def image(path, password):
    with open(path, "rb") as f:
        head = f.read(SECTOR)
        f.seek(0, os.SEEK_END)
        size = f.tell()
        f.seek(max(0, size - SECTOR))
        tail = f.read()
        if head[:8] == b"encrcdsa" or tail[-8:] == b"cdsaencr":
            say(skipped="libmodi reads no encrypted images")
            return
        if tail[:4] == b"koly" or head[:4] == b"sprs":
            handle = pymodi.handle()
            handle.open(path)
            base, size = handle, handle.get_media_size()
        else:
            base = f
        if not disk(base, size, password):
            say(skipped="no HFS+ or APFS volume")


def disk(base, size, password):
    read = 0
    for start, length in partitions(Window(base, 0, size)):
        read += part(base, start, min(length, size - start), password)
    return read


def decoded_by_7zip(path, work):
    """The partitions of a UDIF image that libmodi does not decode."""
    out = os.path.join(work, "partitions")
    subprocess.run(["7zz", "x", "-bd", "-y", "-tDmg", "-o" + out, path], check=True,
                   stdout=subprocess.DEVNULL)
    for name in sorted(os.listdir(out)):
        with open(os.path.join(out, name), "rb") as f:
            yield f, os.path.getsize(f.name)


def main(path, password):
    with tempfile.TemporaryDirectory() as work:
        inner = os.path.join(work, "image")
        if path.endswith(".gz"):
            with gzip.open(path) as z, open(inner, "wb") as out:
                out.write(z.read())
            path = inner
        elif path.endswith(".zip"):
            with zipfile.ZipFile(path) as z:
                names = z.namelist()
                if len(names) != 1:
                    say(skipped="a sparse bundle: libmodi opens it by its bands only")
                    return
                with open(inner, "wb") as out:
                    out.write(z.read(names[0]))
            path = inner
        try:
            image(path, password)
            why = next((line["error"] for line in LINES if "libmodi" in line.get("error", "")), None)
        except OSError as e:
            why = str(e)
        if why is None:
            return
        # What the failed attempt said so far does not count.
        LINES.clear()
        if "libmodi" in why and shutil.which("7zz"):
            say(note=f"decoded by 7-Zip, because of {why}")
            try:
                read = sum(disk(f, size, password) for f, size in decoded_by_7zip(path, work))
            except subprocess.CalledProcessError as e:
                say(skipped=f"not decoded by 7-Zip either: {e}")
                return
            if not read:
                say(skipped="7-Zip decodes no HFS+ or APFS volume")
        else:
            say(skipped=f"not read: {why}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else None)
    for line in LINES:
        print(json.dumps(line))
