#!/usr/bin/env python3
"""Whole processes, side by side: wall time and peak memory of mip and of other tools.

  benches/run.py [DIR] [--pkg-size 4G] [--app-size 2G] [--app-files 20000] [--runs 3] [--mip PATH]

DIR (default bench-work) gets the inputs (`cargo xtask bench-inputs`, about 7 GB as it stands) and all
outputs; inputs that are there are used again. A tool that is not installed is said to be absent.
Prints Markdown; docs/benchmarks.md is written by hand from it."""
import argparse, os, platform, shutil, statistics, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
a = argparse.ArgumentParser()
a.add_argument("dir", nargs="?", default=os.path.join(ROOT, "bench-work"))
a.add_argument("--pkg-size", default="4G")
a.add_argument("--app-size", default="2G")
a.add_argument("--app-files", default="20000")
a.add_argument("--runs", type=int, default=3)
a.add_argument("--mip", help="the program to measure; default: build it in release mode")
o = a.parse_args()
target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
if not o.mip:
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    o.mip = os.path.join(target, "release", "mip")
os.makedirs(o.dir, exist_ok=True)
os.chdir(o.dir)


def make(name, options):
    """The input `name`, unless it is there, was finished, and was made with the same options."""
    stamp = name + ".made-with"
    if os.path.exists(stamp) and open(stamp).read() == repr(options):
        return
    shutil.rmtree(name) if os.path.isdir(name) else os.path.exists(name) and os.remove(name)
    subprocess.run(["cargo", "xtask", "bench-inputs", os.getcwd()] + options, cwd=ROOT, check=True)
    with open(stamp, "w") as f:
        f.write(repr(options))


make("big.pkg", ["--pkg-size", o.pkg_size, "--app-files", "0"])
make("Big.app", ["--pkg-size", "0", "--app-size", o.app_size, "--app-files", o.app_files])
shutil.rmtree("identity", ignore_errors=True)
subprocess.run([o.mip, "identity", "create", "--out", "identity"], check=True, stdout=subprocess.DEVNULL)
KEYS = ["--sign-key", "identity/key.pem", "--sign-cert", "identity/identity.pem"]


TIME = shutil.which("time")  # GNU time; a child's own ru_maxrss starts at the size of this script


def run(cmd, output):
    """One run: (seconds, peak KiB or None). Pipes go through sh; their peak is that of the largest part."""
    if output and os.path.exists(output):
        os.remove(output)
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
        tools = [w.split()[0] for w in cmd.split("|")] if isinstance(cmd, str) else [cmd[0]]
        missing = [t for t in tools if not shutil.which(t)]
        if missing:
            print(f"| {name} | absent: {', '.join(missing)} | | | |")
            continue
        runs = [run(cmd, output) for _ in range(o.runs)]
        wall = statistics.median(r[0] for r in runs)
        mem = f"{max(r[1] for r in runs) / 1024:.1f} MiB" if TIME else "not measured: no GNU time"
        base = base or wall
        print(f"| {name} | {wall:.3f} s | {size / wall / 1e6:.0f} MB/s | {mem} | {wall / base:.2f} |", flush=True)


def tree_size(path):
    return sum(os.lstat(os.path.join(r, f)).st_size for r, _, fs in os.walk(path) for f in fs)


cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine()) \
    if os.path.exists("/proc/cpuinfo") else platform.processor()
print(f"{platform.system()} {platform.machine()}, {cpu}, {os.cpu_count()} cores, median of {o.runs} runs, files in page cache")
size = os.path.getsize("big.pkg")
with open("big.pkg", "rb") as f:  # into the page cache
    while f.read(8 << 20):
        pass
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
    if os.path.exists(extra):
        os.remove(extra)
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
    if os.path.exists(extra):
        os.remove(extra)
