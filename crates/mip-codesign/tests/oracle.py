#!/usr/bin/env python3
"""What the code signatures of programs say: an independent hand for tests/programs.rs.

Written from xnu's cs_blobs.h and mach-o/loader.h with struct and hashlib alone; shares no code
with the crate. oracle.py FILE... prints one JSON object per program.
oracle.py --fixtures FOLDER > programs.json makes the expectations of tests/programs.rs from the
shared fixtures (bsdtar and 7zz unpack them).
"""
import hashlib
import json
import plistlib
import struct
import subprocess
import sys
import tempfile

FLAGS = {0x1: "host", 0x2: "adhoc", 0x100: "hard", 0x200: "kill", 0x400: "expires",
         0x800: "restrict", 0x1000: "enforcement", 0x2000: "library-validation",
         0x10000: "runtime", 0x20000: "linker-signed"}
HASHES = {1: ("sha1", 20), 2: ("sha256", 32), 3: ("sha256", 20), 4: ("sha384", 48)}
CPUS = {(0x01000007, 3): "x86_64", (0x01000007, 8): "x86_64h", (0x0100000c, 0): "arm64",
        (0x0100000c, 2): "arm64e", (7, 3): "i386", (12, 9): "armv7", (12, 11): "armv7s",
        (12, 6): "armv6", (18, 0): "ppc"}


def slices(data):
    magic = struct.unpack(">I", data[:4])[0]
    if magic != 0xcafebabe:
        return [(0, len(data))]
    n = struct.unpack(">I", data[4:8])[0]
    return [struct.unpack(">II", data[8 + 20 * i + 8:8 + 20 * i + 16]) for i in range(n)]


def z(b, at):
    return b[at:b.index(b"\0", at)].decode()


def program(path):
    data = open(path, "rb").read()
    out = []
    for off, size in slices(data):
        s = data[off:off + size]
        e = "<" if s[:4] in (b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe") else ">"
        wide = s[:4] in (b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf")
        cpu, sub, _, ncmds = struct.unpack(e + "IIII", s[4:20])
        at = 32 if wide else 28
        one = {"architecture": CPUS[(cpu, sub & 0xffffff)], "offset": off, "size": size,
               "min_os": None, "signature": None}
        sig = None
        for _ in range(ncmds):
            cmd, n = struct.unpack(e + "II", s[at:at + 8])
            v = None
            if cmd == 0x1d:
                sig = struct.unpack(e + "II", s[at + 8:at + 16])
            elif cmd == 0x32:
                v = struct.unpack(e + "I", s[at + 12:at + 16])[0]
            elif cmd in (0x24, 0x25):
                v = struct.unpack(e + "I", s[at + 8:at + 12])[0]
            if v is not None:
                t = [v >> 16, v >> 8 & 255, v & 255]
                one["min_os"] = ".".join(map(str, t if t[2] else t[:2]))
            at += n
        if sig:
            one["signature"] = signature(s, sig)
        out.append(one)
    return out


def signature(s, sig):
    b = s[sig[0]:sig[0] + sig[1]]
    magic, _, count = struct.unpack(">III", b[:12])
    assert magic == 0xfade0cc0
    blobs = {}
    for i in range(count):
        slot, at = struct.unpack(">II", b[12 + 8 * i:20 + 8 * i])
        blobs[slot] = b[at:at + struct.unpack(">I", b[at + 4:at + 8])[0]]
    dirs = [cd(s, v, blobs) for k, v in sorted(blobs.items()) if k == 0 or 0x1000 <= k <= 0x1005]
    dirs.sort(key=lambda d: {"sha384": 0, "sha256": 1, "sha1": 3}[d["algorithm"]])
    ent = blobs.get(5)
    cms = blobs.get(0x10000, b"")[8:]
    return {"slots": sorted(blobs), "directories": dirs, "cms_bytes": len(cms.rstrip(b"\0")),
            "entitlements": plistlib.loads(ent[8:]) if ent and len(ent) > 8 else None,
            "end": sig[0] + sig[1]}


def cd(s, b, blobs):
    version, flags, hoff, ioff, nspec, ncode, limit = struct.unpack(">7I", b[8:36])
    hsize, htype, _, plog = b[36:40]
    name, cut = HASHES[htype]
    assert hsize == cut
    h = lambda x: hashlib.new(name, x).digest()[:cut]
    page = 1 << plog if plog else limit
    bad = [i for i in range(ncode)
           if h(s[i * page:min(limit, (i + 1) * page)]) != b[hoff + i * cut:hoff + (i + 1) * cut]]
    specials = {}
    for i in range(1, nspec + 1):
        x = b[hoff - i * cut:hoff - (i - 1) * cut]
        if any(x):
            specials[i] = x.hex()
    team = struct.unpack(">I", b[48:52])[0] if version >= 0x20200 else 0
    run = struct.unpack(">I", b[88:92])[0] if version >= 0x20500 else 0
    inside = {str(i): h(blobs[i]).hex() == specials.get(i) for i in blobs if 0 < i < 0x1000}
    return {"algorithm": name, "version": hex(version),
            "flags": [n for k, n in FLAGS.items() if flags & k],
            "identifier": z(b, ioff), "team_id": z(b, team) if team else None,
            "runtime": run, "limit": limit, "pages": ncode, "page": plog, "altered": bad,
            "cdhash": hashlib.new(name, b).hexdigest()[:40], "specials": specials,
            "inside": inside}


CLIENT = "Karabiner-DriverKit-VirtualHIDDeviceClient"
DAEMON = "Karabiner-VirtualHIDDevice-Daemon"
MANAGER = "./Applications/.Karabiner-VirtualHIDDevice-Manager.app/Contents/"
DEXT = MANAGER + "Library/SystemExtensions/org.pqrs.Karabiner-DriverKit-VirtualHIDDevice.dext/"
LIBRARY = "./Library/Application Support/org.pqrs/Karabiner-DriverKit-VirtualHIDDevice/Applications/"
MITM = "Mitmproxy Redirector.app/Contents/"
MITM_NET = "org.mitmproxy.macos-redirector.network-extension"
MITM_EXT = MITM + "Library/SystemExtensions/" + MITM_NET + ".systemextension/Contents/"
SPARKLE = "SparkleTestCodeSignApp.app/Contents/"


def karabiner(version, helper):
    pkg = "pkg-signed/Karabiner-DriverKit-VirtualHIDDevice-%s.pkg" % version
    helper_app = LIBRARY + helper + ".app/Contents/"
    return [(pkg, MANAGER, "MacOS/Karabiner-VirtualHIDDevice-Manager"),
            (pkg, DEXT, "org.pqrs.Karabiner-DriverKit-VirtualHIDDevice"),
            (pkg, helper_app, "MacOS/" + helper)]


PROGRAMS = [
    ("app/sparkle-DevSignedApp.zip", "DevSignedApp.app/Contents/", "MacOS/SignedApp"),
    ("app/mitmproxy-Redirector.app.tar", MITM, "MacOS/Mitmproxy Redirector"),
    ("app/mitmproxy-Redirector.app.tar", MITM_EXT, "MacOS/" + MITM_NET),
    ("app/MuJoCo_mjpython.app.zip", "MuJoCo_(mjpython).app/Contents/", "MacOS/mjpython"),
    ("app/tika-testIPA.ipa", "Payload/GPA Locator.app/", "GPA Locator"),
    ("app/sudo-prompt-applet.zip", "Contents/", "MacOS/applet"),
    ("app/terminal-notifier.app.zip", "terminal-notifier.app/Contents/",
     "MacOS/terminal-notifier"),
    ("app/relic-slimfile.app.zip", "slimfile.app/", "dummyapp"),
    ("app/sparkle-SparkleTestCodeSignApp.tar.gz", SPARKLE, "MacOS/Sparkle Test App"),
] + karabiner("1.6.0", CLIENT) + karabiner("1.31.0", CLIENT) + karabiner("7.3.0", DAEMON)


def unpack(archive, inner):
    if archive.endswith(".pkg"):
        payload = subprocess.run(["7zz", "e", "-so", archive, "Payload~"], check=True,
                                 stdout=subprocess.PIPE).stdout
        return subprocess.run(["bsdtar", "-xOf", "-", inner], input=payload,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return subprocess.run(["bsdtar", "-xOf", archive, inner.replace("[", "\\[")],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def fixtures(root):
    out = []
    for archive, bundle, inner in PROGRAMS:
        with tempfile.NamedTemporaryFile() as f:
            f.write(unpack(root + "/" + archive, bundle + inner))
            f.flush()
            out.append({"archive": archive, "bundle": bundle, "program": inner,
                        "slices": program(f.name)})
    json.dump(out, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    if sys.argv[1] == "--fixtures":
        fixtures(sys.argv[2])
    else:
        for p in sys.argv[1:]:
            print(json.dumps({"path": p, "slices": program(p)}))
