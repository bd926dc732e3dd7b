"""Recomputes the seal of a bundle with Python's own libraries: an oracle for tests/bundle.rs.

usage: seal_oracle.py ARCHIVE BUNDLE   prints how many sealed files match, and how many do not
"""

import hashlib
import plistlib
import sys
import tarfile
import zipfile

archive, root = sys.argv[1], sys.argv[2].rstrip("/") + "/"
files = {}
if archive.endswith(".tar"):
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if member.isfile() and name.startswith(root):
                files[name[len(root):]] = tar.extractfile(member).read()
else:
    with zipfile.ZipFile(archive) as zipped:
        for name in zipped.namelist():
            if name.startswith(root) and not name.endswith("/"):
                files[name[len(root):]] = zipped.read(name)

base = "Contents/" if "Contents/Info.plist" in files else ""
sealed = plistlib.loads(files[base + "_CodeSignature/CodeResources"])
same = other = 0
for path, entry in sealed.get("files2", sealed["files"]).items():
    if isinstance(entry, bytes):
        entry = {"hash": entry}
    data = files[base + path]
    wanted = {"hash": hashlib.sha1, "hash2": hashlib.sha256}
    if all(wanted[k](data).digest() == v for k, v in entry.items() if k in wanted):
        same += 1
    else:
        other += 1
print(same, other)
