#!/usr/bin/env python3
"""Whole processes, side by side: wall time and peak memory of mip and of other tools.

  benches/run.py [DIR] [--pkg-size 4G] [--app-size 2G] [--app-files 20000] [--image-noise 2760M]
                 [--parts package,app,image] [--runs 3] [--mip PATH]

DIR (default bench-work) gets the inputs (`cargo xtask bench-inputs`, about 11 GB as it stands) and all
outputs (6 GB more at most); inputs that are there are used again. A tool that is not installed is said to be absent.
Prints Markdown; docs/benchmarks.md is written by hand from it."""
import argparse, os, platform, re, shutil, statistics, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
a = argparse.ArgumentParser()
a.add_argument("dir", nargs="?", default=os.path.join(ROOT, "bench-work"))
a.add_argument("--pkg-size", default="4G")
a.add_argument("--app-size", default="2G")
a.add_argument("--app-files", default="20000")
a.add_argument("--image-noise", default="2760M", help="incompressible bytes beside the app in the disk image")
a.add_argument("--parts", default="package,app,image", help="what to measure")
a.add_argument("--runs", type=int, default=3)
a.add_argument("--mip", help="the program to measure; default: build it in release mode")
o = a.parse_args()
target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
if not o.mip:
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    o.mip = os.path.join(target, "release", "mip")
os.makedirs(o.dir, exist_ok=True)
os.chdir(o.dir)


def remove(name):
    if os.path.isdir(name) and not os.path.islink(name):
        shutil.rmtree(name)
    elif os.path.lexists(name):
        os.remove(name)


def make(name, options, noise="none", made_from=""):
    """The input `name`, unless it is there, was finished, and was made with the same options."""
    stamp, made = name + ".made-with", repr(options) + (noise if noise != "none" else "") + made_from
    if os.path.exists(stamp) and open(stamp).read() == made:
        return
    remove(stamp)
    remove(name)
    subprocess.run(["cargo", "xtask", "bench-inputs", os.getcwd()] + options + ["--image-noise", noise], cwd=ROOT, check=True)
    with open(stamp, "w") as f:
        f.write(made)


PARTS = o.parts.split(",")
NOTHING = ["--pkg-size", "0", "--app-files", "0"]
if "package" in PARTS:
    make("big.pkg", ["--pkg-size", o.pkg_size, "--app-files", "0"])
APP = ["--pkg-size", "0", "--app-size", o.app_size, "--app-files", o.app_files]
make("Big.app", APP)
if "image" in PARTS:
    make("big.dmg", NOTHING, o.image_noise, repr(APP))
shutil.rmtree("identity", ignore_errors=True)
subprocess.run([o.mip, "identity", "create", "--out", "identity"], check=True, stdout=subprocess.DEVNULL)
KEYS = ["--sign-key", "identity/key.pem", "--sign-cert", "identity/identity.pem"]


TIME = shutil.which("time")  # GNU time; a child's own ru_maxrss starts at the size of this script


def run(cmd, output):
    """One run: (seconds, peak KiB or None). Pipes go through sh; their peak is that of the largest part."""
    for name in output.split() if output else ():
        remove(name)
    words = ["sh", "-c", cmd] if isinstance(cmd, str) else cmd
    with tempfile.NamedTemporaryFile() as peak, tempfile.TemporaryFile() as err:
        if TIME:
            words = [TIME, "-q", "-f", "%M", "-o", peak.name] + words
        begin = time.monotonic()
        code = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=err).returncode
        seconds = time.monotonic() - begin
        if code:
            err.seek(0)
            sys.exit(f"{cmd}: exit {code}: {err.read().decode(errors='replace')[-500:]}")
        return seconds, int(peak.read()) if TIME else None


def table(title, size, rows):
    print(f"\n### {title}\n\n| what | wall | rate | peak memory | against mip |\n|---|---:|---:|---:|---:|", flush=True)
    base = None
    for name, cmd, output in rows:
        tools = [w.split()[0] for w in re.split(r"\||&&", cmd)] if isinstance(cmd, str) else [cmd[0]]
        missing = [t for t in tools if not shutil.which(t)]
        if cmd[0] == PYTHON and not PEER:
            missing = ["libmodi and libfshfs for Python"]
        if missing:
            print(f"| {name} | absent: {', '.join(missing)} | | | |")
            continue
        runs = [run(cmd, output) for _ in range(o.runs)]
        wall = statistics.median(r[0] for r in runs)
        mem = f"{max(r[1] for r in runs) / 1024:.1f} MiB" if TIME else "not measured: no GNU time"
        base = base or wall
        print(f"| {name} | {wall:.3f} s | {size / wall / 1e6:.0f} MB/s | {mem} | {wall / base:.2f} |", flush=True)


# The libyal libraries from Python: the volume in an image, then one file or what an inspection reads.
PYTHON = sys.executable
LIBYAL = r"""
import struct, sys, pymodi, pyfshfs
disk = pymodi.handle()
disk.open(sys.argv[1])
disk.seek(1024)
first, last = struct.unpack("<QQ", disk.read(128)[32:48])
class Part:
    def __init__(self): self.at = 0
    def read(self, n):
        disk.seek(first * 512 + self.at)
        data = disk.read(n)
        self.at += len(data)
        return data
    def seek(self, n, how=0): self.at = n + (0, self.at, self.get_size())[how]
    def tell(self): return self.at
    def get_offset(self): return self.at
    def get_size(self): return (last - first + 1) * 512
volume = pyfshfs.volume()
volume.open_file_object(Part())
for path in sys.argv[2:]:
    e = volume.get_file_entry_by_path(path)
    if e.file_mode >> 12 == 4:
        print([e.get_sub_file_entry(i).name for i in range(e.number_of_sub_file_entries)])
    else:
        left = e.size
        while left > 0:
            data = e.read_buffer(min(left, 1 << 20))
            sys.stdout.buffer.write(data)
            left -= len(data)
"""
PEER = subprocess.run([PYTHON, "-c", "import pymodi, pyfshfs"], stderr=subprocess.DEVNULL).returncode == 0


def into_cache(path):
    with open(path, "rb") as f:
        while f.read(8 << 20):
            pass


def package():
    size = os.path.getsize("big.pkg")
    into_cache("big.pkg")
    table(f"A package of {size} bytes, not compressible", size, [
        ("mip convert, signed", [o.mip, "convert", "big.pkg", "-o", "big.mip", "--force"] + KEYS, None),
        ("cp", ["cp", "--reflink=never", "big.pkg", "copy.pkg"], "copy.pkg"),
        ("openssl dgst -sha256", ["openssl", "dgst", "-sha256", "big.pkg"], None),
        ("bsdtar, stored zip", ["bsdtar", "--format", "zip", "--options", "zip:compression=store", "-cf", "bsd.zip", "big.pkg"], "bsd.zip"),
        ("7zz a -mx0", ["7zz", "a", "-bd", "-mx0", "7z.zip", "big.pkg"], "7z.zip"),
        ("openssl cms -sign, detached", ["openssl", "cms", "-sign", "-binary", "-in", "big.pkg", "-signer", "identity/identity.pem",
                                         "-inkey", "identity/key.pem", "-outform", "DER", "-out", "cms.p7s"], "cms.p7s"),
    ])
    table("Its archive, checked", os.path.getsize("big.mip"), [
        ("mip verify", [o.mip, "verify", "big.mip", "--anchor", "identity/ca.pem"], None),
        ("mip verify, one thread", [o.mip, "verify", "big.mip", "--anchor", "identity/ca.pem", "--threads", "1"], None),
        ("openssl dgst -sha256", ["openssl", "dgst", "-sha256", "big.mip"], None),
        ("unzip -t (CRC-32 only)", ["unzip", "-tqq", "big.mip"], None),
    ])
    table("Its metadata", size, [
        ("mip inspect", [o.mip, "inspect", "big.pkg", "--json"], None),
        ("bsdtar -t", ["bsdtar", "-tf", "big.pkg"], None),
        ("7zz l", ["7zz", "l", "big.pkg"], None),
    ])
    for extra in ("copy.pkg", "bsd.zip", "7z.zip", "cms.p7s"):
        remove(extra)


def app():
    size = tree_size("Big.app")
    table(f"An app of {o.app_files} files, {size} bytes", size, [
        ("mip convert, signed", [o.mip, "convert", "Big.app", "-o", "app.mip", "--force"] + KEYS, None),
        ("mip convert, level 1", [o.mip, "convert", "Big.app", "-o", "app.mip", "--force", "--compression-level", "1"] + KEYS, None),
        ("tar, pigz -6", "tar -cf - Big.app | pigz -6 > app.tgz", "app.tgz"),
        ("tar, pigz -1", "tar -cf - Big.app | pigz -1 > app.tgz", "app.tgz"),
        ("tar, gzip -6", "tar -cf - Big.app | gzip -6 > app.tgz", "app.tgz"),
        ("bsdtar, stored zip", ["bsdtar", "--format", "zip", "--options", "zip:compression=store", "-cf", "bsd.zip", "Big.app"], "bsd.zip"),
        ("7zz a -mx0", ["7zz", "a", "-bd", "-snl", "-mx0", "7z.zip", "Big.app"], "7z.zip"),
    ])
    table("Its metadata", size, [("mip inspect", [o.mip, "inspect", "Big.app", "--json"], None)])
    for extra in ("app.tgz", "bsd.zip", "7z.zip"):
        remove(extra)


def image():
    size = os.path.getsize("big.dmg")
    into_cache("big.dmg")
    plist, program, noise = "Big.app/Contents/Info.plist", "Big.app/Contents/MacOS/Big", "Extras/extra030.bin"
    table(f"A disk image of {size} bytes with the app (UDIF, zlib, HFS+): its metadata", size, [
        ("mip inspect", [o.mip, "inspect", "big.dmg", "--json"], None),
        ("mip files", [o.mip, "files", "big.dmg", "--json"], None),
        ("7zz l", ["7zz", "l", "big.dmg"], None),
        ("7zz e, Info.plist", ["7zz", "e", "-so", "big.dmg", "Big/" + plist], None),
        ("libmodi, libfshfs (Python): root and Info.plist", [PYTHON, "-c", LIBYAL, "big.dmg", "/", "/" + plist], None),
    ])
    for what, path in (("a small file", plist), ("an executable", program), ("noise", noise)):
        at = os.path.join(os.getcwd(), path)
        n = os.path.getsize(at) if os.path.exists(at) else 48 << 20
        table(f"One file of it: {what}, {n} bytes", n, [
            ("mip cat", [o.mip, "cat", "big.dmg", path], None),
            ("7zz e -so", ["7zz", "e", "-so", "big.dmg", "Big/" + path], None),
            ("libmodi, libfshfs (Python)", [PYTHON, "-c", LIBYAL, "big.dmg", "/" + path], None),
        ])
    size = tree_size("Big.app")
    table(f"The app out of it, {size} bytes", size, [
        ("mip convert --payload app, signed",
         [o.mip, "convert", "big.dmg", "-o", "dmg-app.mip", "--force", "--payload", "app"] + KEYS, "dmg-app.mip"),
        ("mip convert --payload app, level 1",
         [o.mip, "convert", "big.dmg", "-o", "dmg-app.mip", "--force", "--payload", "app", "--compression-level", "1"] + KEYS, "dmg-app.mip"),
        ("7zz x, tar, pigz -1",
         "7zz x -y -bd -snld20 -oout big.dmg Big/Big.app && tar -cf - -C out/Big Big.app | pigz -1 > app.tgz", "out app.tgz"),
        ("7zz x alone", ["7zz", "x", "-y", "-bd", "-snld20", "-oout", "big.dmg", "Big/Big.app"], "out"),
    ])
    size = os.path.getsize("big.dmg")
    table("The image as it is", size, [
        ("mip convert --payload original, signed",
         [o.mip, "convert", "big.dmg", "-o", "dmg.mip", "--force", "--payload", "original"] + KEYS, "dmg.mip"),
        ("openssl dgst -sha256", ["openssl", "dgst", "-sha256", "big.dmg"], None),
    ])
    for extra in ("app.tgz", "out", "dmg.mip"):
        remove(extra)


def tree_size(path):
    return sum(os.lstat(os.path.join(r, f)).st_size for r, _, fs in os.walk(path) for f in fs)


cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine()) \
    if os.path.exists("/proc/cpuinfo") else platform.processor()
print(f"{platform.system()} {platform.machine()}, {cpu}, {os.cpu_count()} cores, median of {o.runs} runs, files in page cache")
for name, part in (("package", package), ("app", app), ("image", image)):
    if name in PARTS:
        part()
