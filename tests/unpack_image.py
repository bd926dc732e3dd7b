#!/usr/bin/env python3
"""Unpacks a disk image without the project's code: python3 unpack_image.py IMAGE FOLDER [PASSWORD]

Python reads the sparse forms and the UDIF trailer, OpenSSL decrypts, 7-Zip unpacks into FOLDER. Prints what
fixtures/dmg/*/expected.json says of the image itself. Links lose the folder that 7-Zip puts before absolute ones,
hard links get the size of their file (7-Zip shows them as empty files)."""
import hashlib, hmac, json, os, plistlib, re, shutil, struct, subprocess, sys


def openssl(cipher, key, iv, data):
    words = ["openssl", "enc", "-d", "-" + cipher, "-K", key.hex(), "-iv", iv.hex(), "-nopad"]
    return subprocess.run(words, input=data, check=True, stdout=subprocess.PIPE).stdout


def decrypt(b, password):
    """Version 2 with one password: PBKDF2-HMAC-SHA1, keys wrapped with Triple-DES."""
    u32, u64 = (lambda at: struct.unpack(">I", b[at:at + 4])[0]), (lambda at: struct.unpack(">Q", b[at:at + 8])[0])
    bits, block, size, data, entry = u32(0x18), u32(0x34), u64(0x38), u64(0x40), u64(0x50)
    salt = b[entry + 16:entry + 16 + u32(entry + 12)]
    key = hashlib.pbkdf2_hmac("sha1", password.encode(), salt, u64(entry + 4), 24)
    iv = b[entry + 0x34:entry + 0x34 + u32(entry + 0x30)]
    keys = openssl("des-ede3-cbc", key, iv, b[entry + 0x68:entry + 0x68 + u32(entry + 0x64)])
    aes, mac = keys[:bits // 8], keys[bits // 8:bits // 8 + 20]
    assert keys[bits // 8 + 20:].startswith(b"CKIE\0")
    out = b""
    for n in range((size + block - 1) // block):
        iv = hmac.digest(mac, struct.pack(">I", n), "sha1")[:16]
        out += openssl(f"aes-{bits}-cbc", aes, iv, b[data + n * block:data + (n + 1) * block])
    return out[:size], f"AES-{bits}"


def sparse_image(b):
    """Sectors of a band at 8, of the disk at 16, numbers of the stored bands from 64; one node is enough here."""
    band, sectors = struct.unpack(">I", b[8:12])[0] * 512, struct.unpack(">I", b[16:20])[0]
    out = bytearray(sectors * 512)
    stored = [n for (n,) in struct.iter_unpack(">I", b[64:4096]) if n]
    for i, n in enumerate(stored):
        at = (n - 1) * band
        out[at:at + band] = b[4096 + i * band:4096 + (i + 1) * band][:len(out) - at]
    return bytes(out)


def sparse_bundle(path):
    with open(os.path.join(path, "Info.plist"), "rb") as f:
        info = plistlib.load(f)
    out = bytearray(info["size"])
    for name in os.listdir(os.path.join(path, "bands")):
        with open(os.path.join(path, "bands", name), "rb") as f:
            data, at = f.read(), int(name, 16) * info["band-size"]
        out[at:at + len(data)] = data
    return bytes(out)


def udif(b):
    """What trailer and property list say."""
    at, size = struct.unpack(">QQ", b[-512 + 216:-512 + 232])
    resources = plistlib.loads(b[at:at + size])["resource-fork"]
    kinds = {0x80000005: "zlib", 0x80000006: "bzip2", 0x80000007: "LZFSE", 0x80000008: "LZMA"}
    found = {struct.unpack(">I", t["Data"][o:o + 4])[0] for t in resources["blkx"] for o in range(204, len(t["Data"]), 40)}
    names = " ".join(t["Name"] for t in resources["blkx"])
    out = {"codecs": [n for k, n in kinds.items() if k in found],
           "partitions": "GPT" if "GPT Header" in names else "APM" if "Apple_partition_map" in names else "none"}
    if "LPic" in resources:
        lpic, out["licence"] = resources["LPic"][0]["Data"], []
        of = {(t, r["ID"]): r["Data"] for t in resources for r in resources[t]}
        for region, number, _ in struct.iter_unpack(">hhh", lpic[4:]):
            label = of["STR#", str(5000 + number)]
            out["licence"].append({"region": region, "language": label[3:3 + label[2]].decode("mac_roman"),
                                   "text": of["TEXT", str(5000 + number)].decode("mac_roman")})
    return out


def main(image, folder, password=None):
    if os.path.isdir(image):
        b, out = sparse_bundle(image), {"format": "sparse bundle", "partitions": "none"}
    else:
        with open(image, "rb") as f:
            b = f.read()
        out = {"format": "raw", "partitions": "none"}
        if b.startswith(b"encrcdsa"):
            b, out["encryption"] = decrypt(b, password)
        if b.startswith(b"sprs"):
            b, out["format"] = sparse_image(b), "sparse image"
        if b[-512:-508] == b"koly":
            out["format"] = "UDIF"
            out |= udif(b)
    plain, top = folder + ".img", os.path.realpath(folder)
    with open(plain, "wb") as f:
        f.write(b)
    subprocess.run(["7zz", "x", "-y", "-bd", "-snl", "-snld20", "-o" + top, plain], check=True, stdout=subprocess.DEVNULL)
    listing = subprocess.run(["7zz", "l", plain], check=True, stdout=subprocess.PIPE).stdout.decode()
    out["file_system"] = "APFS" if re.search(r"^Type = APFS", listing, re.M) else re.findall(r"^Method = (HFS\S)", listing, re.M)[-1]
    root = top
    if out["file_system"] != "APFS":
        (out["volume"],) = os.listdir(top)
        root = os.path.join(top, out["volume"])
    private = os.path.join(root, "[HFS+ Private Data]")
    inodes = [os.path.join(private, n) for n in os.listdir(private)] if os.path.exists(private) else []
    for at, folders, files in os.walk(root):
        for name in files + folders:
            path = os.path.join(at, name)
            if os.path.islink(path) and os.readlink(path).startswith(top):
                target = os.readlink(path).removeprefix(top)
                os.remove(path)
                os.symlink(target, path)
            elif inodes and os.path.isfile(path) and os.path.getsize(path) == 0:
                shutil.copyfile(inodes[0], path)
            elif ":" in name or name in (".journal", ".journal_info_block"):
                os.remove(path)
    if inodes:
        shutil.rmtree(private)
    out["root"] = root
    json.dump(out, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
