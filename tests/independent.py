#!/usr/bin/env python3
"""What an installer holds, read with Python's own libraries: python3 independent.py FILE|FOLDER

Prints the JSON of fixtures/**/expected.json without what is a decision (primary app, receipts,
where an app ends up). Shares no code with the project; knows gzip, bzip2, xz, odc, xar, zip, tar."""
import bz2, gzip, io, json, lzma, os, plistlib, re, stat, struct, sys, tarfile, zipfile, zlib
import xml.etree.ElementTree as ET


def unpack(b):
    for magic, f in ((b"\x1f\x8b", gzip.decompress), (b"BZh", bz2.decompress), (b"\xfd7zXZ", lzma.decompress)):
        if b.startswith(magic):
            return f(b)
    return b


def node(mode, data):
    if stat.S_ISDIR(mode):
        return ("dir", None)
    return ("link", data.decode()) if stat.S_ISLNK(mode) else ("file", data)


def cpio(b):
    """{path: node} of an odc archive."""
    b, at, out = unpack(b), 0, {}
    while True:
        assert b[at:at + 6] == b"070707", at
        mode, name_len, size = (int(b[at + o:at + o + n], 8) for o, n in ((18, 6), (59, 6), (65, 11)))
        name = b[at + 76:at + 76 + name_len - 1].decode()
        data = b[at + 76 + name_len:at + 76 + name_len + size]
        if name == "TRAILER!!!":
            return out
        if name != ".":
            out[name.removeprefix("./")] = node(mode, data)
        at += 76 + name_len + size


def xar(b):
    """{path: bytes} of the files of a xar archive."""
    magic, head, _, packed, size, _ = struct.unpack(">4sHHQQI", b[:28])
    assert magic == b"xar!"
    toc = zlib.decompress(b[head:head + packed])
    assert len(toc) == size
    heap, out = head + packed, {}

    def walk(e, at):
        for f in e.findall("file"):
            path, d = at + f.findtext("name"), f.find("data")
            if d is not None:
                o, n = heap + int(d.findtext("offset")), int(d.findtext("length"))
                raw = b[o:o + n]
                gz = d.find("encoding").get("style") == "application/x-gzip"
                out[path] = zlib.decompress(raw) if gz else raw
                assert len(out[path]) == int(d.findtext("size")), path
            walk(f, path + "/")
    walk(ET.fromstring(toc).find("toc"), "")
    return out


def tree_of(path):
    """{path: node} of a folder, a zip or a tar file."""
    out = {}
    if os.path.isdir(path):
        for root, dirs, files in os.walk(path):
            for n in dirs + files:
                p = os.path.join(root, n)
                link = os.path.islink(p)
                data = os.readlink(p) if link else None if os.path.isdir(p) else open(p, "rb").read()
                out[os.path.relpath(p, path)] = ("link" if link else "dir" if data is None else "file", data)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as z:
            for i in z.infolist():
                out[i.filename.rstrip("/")] = node(i.external_attr >> 16, z.read(i))
    else:
        with tarfile.open(path) as t:
            for m in t:
                kind = "dir" if m.isdir() else "link" if m.issym() else "file"
                out[m.name] = (kind, m.linkname if m.issym() else t.extractfile(m).read() if m.isfile() else None)
    return out


def rows(tree):
    return [[p, k] + ([] if k == "dir" else [d if k == "link" else len(d)]) for p, (k, d) in sorted(tree.items())]


def architectures(b):
    names = {0x01000007: "x86_64", 0x0100000C: "arm64", 7: "i386"}
    if b[:4] == b"\xca\xfe\xba\xbe":
        return [names[struct.unpack(">I", b[8 + 20 * i:12 + 20 * i])[0]] for i in range(struct.unpack(">I", b[4:8])[0])]
    return [names[struct.unpack("<I", b[4:8])[0]]]


def apps(tree):
    out = []
    for path in sorted(tree):
        if not re.fullmatch(r"(.*/)?[^/]+\.app/Contents/Info\.plist", path):
            continue
        at = path.removesuffix("Info.plist")
        p = plistlib.loads(tree[path][1])
        names = {}
        for q, (_, data) in tree.items():
            m = re.fullmatch(re.escape(at) + r"Resources/(\w+)\.lproj/InfoPlist\.strings", q)
            if m:
                names[m[1]] = re.search(r'"CFBundleDisplayName" = "(.*)";', data.decode())[1]
        icon = p["CFBundleIconFile"] + ".icns"
        assert tree[at + "Resources/" + icon][1][:4] == b"icns"
        out.append({"bundle_id": p["CFBundleIdentifier"], "display_name": p["CFBundleDisplayName"],
                    "short_version": p["CFBundleShortVersionString"], "bundle_version": p["CFBundleVersion"],
                    "minimum_os": p["LSMinimumSystemVersion"], "category": p["LSApplicationCategoryType"],
                    "copyright": p["NSHumanReadableCopyright"], "localized_names": names, "icon": icon,
                    "architectures": architectures(tree[at + "MacOS/" + p["CFBundleExecutable"]][1])})
    return out


def component(files, at):
    i = ET.fromstring(files[at + "PackageInfo"])
    c = {"identifier": i.get("identifier"), "version": i.get("version"), "install_location": i.get("install-location"),
         "scripts": sorted(cpio(files[at + "Scripts"])) if at + "Scripts" in files else []}
    if at:
        c["dir"] = at.rstrip("/")
    if i.get("postinstall-action"):
        c["postinstall_action"] = i.get("postinstall-action")
    if i.find("relocate") is not None:
        c["relocatable"] = [b.get("id") for b in i.find("relocate")]
    tree = {}
    if at + "Payload" in files:
        tree = cpio(files[at + "Payload"])
        c["payload"] = rows(tree)
        c["install_kbytes"] = int(i.find("payload").get("installKBytes"))
        c["files"] = int(i.find("payload").get("numberOfFiles"))
    return c, apps(tree)


def read(path):
    if os.path.isfile(path) and open(path, "rb").read(4) == b"xar!":
        files = xar(open(path, "rb").read())
        parts = [component(files, p.removesuffix("PackageInfo")) for p in files if p.endswith("PackageInfo")]
        out = {"kind": "component-package", "apps": [a for _, x in parts for a in x], "components": [c for c, _ in parts]}
        if "Distribution" in files:
            d = ET.fromstring(files["Distribution"])
            title, strings = d.findtext("title"), files["Resources/en.lproj/Localizable.strings"].decode()
            out |= {"kind": "distribution-package", "product": dict(d.find("product").items()),
                    "title": re.search(f'"{title}" = "(.*)";', strings)[1],
                    "minimum_os": d.find("volume-check/allowed-os-versions/os-version").get("min"),
                    "host_architectures": d.find("options").get("hostArchitectures").split(","),
                    "licence_agreement": d.find("license") is not None}
        return out
    tree, out = tree_of(path), {}
    if os.path.isfile(path):
        out["inside"] = "zip" if zipfile.is_zipfile(path) else "tar.gz"
    for p in tree:
        if p.endswith(".pkg/Contents/Info.plist"):
            at = p.removesuffix("Info.plist")
            i, inner = plistlib.loads(tree[p][1]), cpio(tree[at + "Archive.pax.gz"][1])
            return out | {"kind": "bundle-package", "apps": apps(inner), "components": [{
                "identifier": i["CFBundleIdentifier"], "version": i["CFBundleShortVersionString"], "name": i["CFBundleName"],
                "install_location": i["IFPkgFlagDefaultLocation"], "install_kbytes": int(i["IFPkgFlagInstalledSize"]),
                "scripts": [], "payload": rows(inner)}]}
    return out | {"kind": "app", "apps": apps(tree), "files": rows(tree)}


if __name__ == "__main__":
    json.dump(read(sys.argv[1]), sys.stdout)
