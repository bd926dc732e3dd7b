#!/usr/bin/python3
"""Stands in for the commands of macOS that the generated scripts call, over one folder as the disk.

A copy stands under the name of each command, beside `state.json`:
{"root": DIR, "spotlight": bool, "receipts": {ID: {"version", "location", "files": [...], "folders": [...]}}, "programs": {PID: PATH}}
Every call is a line of `calls`. Output and exit statuses are those of the real commands: PlistBuddy(8), pkgutil(1),
mdfind(1), launchctl(1), osascript(1), ps(1), stat(1) of macOS."""
import json, os, plistlib, re, signal, subprocess, sys

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))
STATE = os.path.join(HERE, "state.json")
state = json.load(open(STATE))
name, args = os.path.basename(sys.argv[0]), sys.argv[1:]
with open(os.path.join(HERE, "calls"), "a") as log:
    log.write(json.dumps([name] + args) + "\n")


def fail(text, status=1):
    print(text, file=sys.stderr)
    sys.exit(status)


def plistbuddy():
    flag, command, path = args
    assert flag == "-c", args
    if not os.path.exists(path):
        print("File Doesn't Exist, Will Create: " + path)
        tree = {}
    else:
        try:
            tree = plistlib.load(open(path, "rb"))
        except Exception:
            fail("Error Reading File: " + path)
    key = re.fullmatch(r"Print :(\w+)", command)[1]
    if key not in tree:
        fail(f'Print: Entry, ":{key}", Does Not Exist')
    value = tree[key]
    print({True: "true", False: "false"}[value] if isinstance(value, bool) else value)


def pkgutil():
    rest, volume, only = list(args), "/", None
    while rest:
        word = rest.pop(0)
        if word == "--volume":
            volume = rest.pop(0)
        elif word in ("--only-files", "--only-dirs"):
            only = word
        elif word == "--pkgs":
            print("\n".join(state["receipts"]))
            return
        else:
            break
    package = rest.pop(0)
    assert not rest, args
    if volume != "/":
        assert os.path.samefile(volume, state["root"]), volume
    receipt = state["receipts"].get(package)
    if receipt is None:
        fail(f"No receipt for '{package}' found at '{volume}'.")
    if word == "--pkg-info":
        print(f"package-id: {package}\nversion: {receipt['version']}\nvolume: {volume}")
        print(f"location: {receipt['location']}\ninstall-time: 1700000000")
    elif word == "--files":
        lines = receipt.get("files", []) if only != "--only-dirs" else []
        lines = lines + (receipt.get("folders", []) if only != "--only-files" else [])
        print("\n".join(sorted(lines)))
    elif word == "--forget":
        del state["receipts"][package]
        json.dump(state, open(STATE, "w"))
        print(f"Forgot package '{package}' on '{volume}'.")
    else:
        fail("unknown option " + word, 64)


def mdfind():
    rest = list(args)
    below = state["root"]
    if rest[0] == "-onlyin":
        below = rest[1]
        rest = rest[2:]
    wanted = re.fullmatch(r"kMDItemCFBundleIdentifier == '([^']*)'", rest[0])[1]
    if not state.get("spotlight", True):
        return
    for folder, folders, _ in os.walk(below):
        folders.sort()
        for info in ("Contents/Info.plist", "Info.plist"):
            try:
                found = plistlib.load(open(os.path.join(folder, info), "rb")).get("CFBundleIdentifier")
            except Exception:
                continue
            # Spotlight does not tell upper from lower case in a comparison with `c`; here it does.
            if found == wanted:
                print(folder)


def launchctl():
    if args[0] == "asuser":
        sys.exit(subprocess.call(args[2:]))
    assert args[0] == "bootout", args
    if not os.path.exists(args[2]):
        fail("Boot-out failed: 5: Input/output error", 5)


def osascript():
    # Quits the programs, unless they are stubborn.
    if not state.get("stubborn"):
        for pid in state["programs"]:
            try:
                os.kill(int(pid), signal.SIGTERM)
            except ProcessLookupError:
                pass


def ps():
    assert args == ["-axo", "pid=", "-o", "comm="], args
    print("    1 /sbin/launchd")
    for pid, path in state.get("programs", {}).items():
        try:
            if open(f"/proc/{pid}/stat").read().split()[2] != "Z":
                print(f"{int(pid):5} {path}")
        except FileNotFoundError:
            pass


def stat():
    assert args == ["-f", "%u", "/dev/console"], args
    print(501)


globals()[name.lower()]()
