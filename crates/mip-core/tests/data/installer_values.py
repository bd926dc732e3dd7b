#!/usr/bin/env python3
"""All texts of the property lists and package tables of an installer, as a JSON list.

An independent reading for the test of docs/metadata-rules.md: zipfile, tarfile, plistlib, zlib, ElementTree and, for disk
images and payloads, 7zz. Containers are opened to a depth of four.

usage: installer_values.py FILE [PASSWORD]
"""
import bz2
import gzip
import io
import json
import os
import plistlib
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET
import zipfile
import zlib

values = set()


def texts(x):
    if isinstance(x, dict):
        for v in x.values():
            texts(v)
    elif isinstance(x, list):
        for v in x:
            texts(v)
    elif isinstance(x, (str, int)) and not isinstance(x, bool):
        values.add(str(x).strip())


def xml(data):
    for e in ET.fromstring(data).iter():
        values.update(v.strip() for v in e.attrib.values())
        if e.text:
            values.add(e.text.strip())


def strings(data):
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
    values.update(re.findall(r'=\s*"((?:[^"\\]|\\.)*)"\s*;', text))


def xar(data, depth):
    size, _, length, _ = struct.unpack(">HHQQ", data[4:24])
    root = ET.fromstring(zlib.decompress(data[size:size + length]))
    heap = size + length

    def walk(node, path):
        for f in node.findall("file"):
            name = path + f.findtext("name")
            d = f.find("data")
            if d is not None:
                at, n = heap + int(d.findtext("offset")), int(d.findtext("length"))
                raw = data[at:at + n]
                style = d.find("encoding").get("style")
                if "gzip" in style:
                    raw = zlib.decompress(raw)
                elif "bzip2" in style:
                    raw = bz2.decompress(raw)
                member(name, raw, depth + 1)
            walk(f, name + "/")

    walk(root.find("toc"), "")


def extracted(data, name, depth, password):
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, name)
        with open(path, "wb") as f:
            f.write(data)
        args = ["7zz", "x", "-y", "-o" + os.path.join(tmp, "out")] + (["-p" + password] if password else [])
        subprocess.run(args + [path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        for folder, _, files in os.walk(os.path.join(tmp, "out")):
            for file in files:
                full = os.path.join(folder, file)
                if not os.path.islink(full):
                    with open(full, "rb") as f:
                        member(os.path.relpath(full, tmp), f.read(), depth + 1)


def member(name, data, depth=0, password=None):
    if depth > 5:
        return
    base = name.rsplit("/", 1)[-1]
    try:
        if data[:4] == b"xar!":
            xar(data, depth)
        elif data[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(data)) as z:
                for n in z.namelist():
                    member(n, z.read(n), depth + 1)
        elif base.endswith((".dmg", ".img", ".sparseimage")):
            extracted(data, base, depth, password)
        elif base == "Payload":
            extracted(data, "Payload.gz" if data[:2] == b"\x1f\x8b" else "Payload.cpio", depth, None)
        elif base.endswith((".tar.gz", ".tar")):
            with tarfile.open(fileobj=io.BytesIO(data)) as t:
                for m in t:
                    if m.isfile():
                        member(m.name, t.extractfile(m).read(), depth + 1)
        elif base.endswith((".dmg.gz", ".img.gz")):
            member(base[:-3], gzip.decompress(data), depth + 1)
        elif base.endswith(".pax.gz"):
            extracted(data, "Payload.gz", depth, None)
        elif base.startswith("Payload") and (data[:6] == b"070707" or data[:6] == b"070701"):
            extracted(data, "x.cpio", depth, None)
        elif base.endswith(".dist") or base in ("Distribution", "PackageInfo"):
            xml(data)
        elif base.endswith(".plist") and not base.startswith("._"):
            texts(plistlib.loads(data))
        elif base.endswith(".strings"):
            strings(data)
    except Exception as e:  # one part that this reader cannot read
        print(f"{name}: {e!r}", file=sys.stderr)


with open(sys.argv[1], "rb") as f:
    member(os.path.basename(sys.argv[1]), f.read(), password=(sys.argv[2:] or [None])[0])
json.dump(sorted(values), sys.stdout)
