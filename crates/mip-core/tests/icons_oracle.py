#!/usr/bin/env python3
"""Icon files and asset catalogs made without our code, and PNGs compared with what was put in.

icons_oracle.py make DIR    writes *.icns and *.car, and *.rgba: the pixels that must come out
icons_oracle.py check DIR   compares *.png with *.rgba; exit status 1 and a line for each difference

Needs Pillow (with OpenJPEG). The catalogs are synthetic: laid out after public descriptions of the
format, as no tool outside macOS writes them.
"""
import io
import os
import random
import struct
import sys
import zlib

try:
    from PIL import Image, features
except ImportError:
    sys.exit(77)


def picture(edge, seed, alphas=(0, 1, 37, 128, 200, 254, 255)):
    """A picture with smooth parts, noise and edges, as R, G, B, A."""
    rnd = random.Random(seed)
    out = bytearray()
    for y in range(edge):
        for x in range(edge):
            if (x // 8 + y // 8) % 3 == 0:
                px = [rnd.randrange(256) for _ in range(3)]
            else:
                px = [x * 255 // edge, y * 255 // edge, (x * y) % 256]
            out += bytes(px + [alphas[(x // 4 + y // 4) % len(alphas)]])
    return bytes(out)


def image(edge, rgba):
    return Image.frombytes("RGBA", (edge, edge), rgba)


def jp2(im, **options):
    out = io.BytesIO()
    im.save(out, "JPEG2000", **options)
    return out.getvalue()


def packed(plane):
    """A plane in runs, as icon files have them."""
    out, i = bytearray(), 0
    while i < len(plane):
        run = 1
        while i + run < len(plane) and run < 130 and plane[i + run] == plane[i]:
            run += 1
        if run >= 3:
            out += bytes([run + 125, plane[i]])
            i += run
            continue
        end = i
        while end < len(plane) and end - i < 128 and plane[end : end + 3] != plane[end : end + 1] * 3:
            end += 1
        end = max(end, i + 1)
        out += bytes([end - i - 1]) + plane[i:end]
        i = end
    return bytes(out)


def icns(*elements):
    body = b"".join(kind + struct.pack(">I", len(data) + 8) + data for kind, data in elements)
    return b"icns" + struct.pack(">I", len(body) + 8) + body


def multiplied(rgba):
    out = bytearray(rgba)
    for i in range(0, len(out), 4):
        a = out[i + 3]
        for c in range(3):
            out[i + c] = (out[i + c] * a + 127) // 255
    return bytes(out)


def unmultiplied(rgba):
    out = bytearray(rgba)
    for i in range(0, len(out), 4):
        a = out[i + 3]
        for c in range(3):
            out[i + c] = min(255, int(out[i + c] * 255 / a + 0.5)) if a else 0
    return bytes(out)


class Catalog:
    """An Assets.car: a Bom file with a few trees."""

    # look, localization, element, part, size, identifier, second dimension, layer, scale, gamut
    FORMAT = (7, 13, 1, 2, 3, 17, 9, 11, 12, 24)

    def __init__(self):
        self.blocks, self.names, self.images = [b""], [], []

    def block(self, data):
        self.blocks.append(data)
        return len(self.blocks) - 1

    def tree(self, name, entries):
        """Leaves of three entries, under one inner node when there are several."""
        parts = [entries[i : i + 3] for i in range(0, len(entries), 3)] or [[]]
        pairs = [[(self.block(v), self.block(k)) for k, v in part] for part in parts]
        first = len(self.blocks)
        for n, part in enumerate(pairs):
            after = first + n + 1 if n + 1 < len(pairs) else 0
            before = first + n - 1 if n else 0
            data = struct.pack(">HHII", 1, len(part), after, before)
            self.block(data + b"".join(struct.pack(">II", *p) for p in part) + bytes(64))
        root = first
        if len(pairs) > 1:
            data = struct.pack(">HHII", 0, len(pairs), 0, 0)
            root = self.block(data + b"".join(struct.pack(">II", first + n, part[0][1]) for n, part in enumerate(pairs)))
        head = b"tree" + struct.pack(">IIIIB", 1, root, 1024, len(entries), 0)
        self.names.append((name, self.block(head)))

    def add(self, edge, fmt, data, row, look=0, identifier=77, gamut=0, scale=1):
        tags = b""
        for tag, value in ((1001, bytes(20)), (1006, struct.pack("<I", 1)), (1007, struct.pack("<I", row))):
            tags += struct.pack("<II", tag, len(value)) + value
        csi = b"ISTC" + struct.pack("<IIIII", 1, 0, edge, edge, scale * 100) + fmt + struct.pack("<IIHH", 1, 0, 12, 0)
        csi += b"icon.png".ljust(128, b"\0") + struct.pack("<IIII", len(tags), 1, 0, len(data)) + tags + data
        values = {7: look, 1: 85, 2: 220, 17: identifier, 12: scale, 24: gamut, 9: len(self.images)}
        self.images.append((struct.pack("<10H", *(values.get(a, 0) for a in self.FORMAT)), csi))

    def write(self):
        name = lambda text, n: (text, struct.pack("<HHH", 0, 0, 3) + struct.pack("<6H", 1, 85, 2, 220, 17, n))
        head = b"RATC" + struct.pack("<IIII", 975, 17, 0, len(self.images)) + bytes(416)
        self.names.append((b"CARHEADER", self.block(head)))
        fmt = b"tmfk" + struct.pack("<II", 0, len(self.FORMAT)) + struct.pack("<10I", *self.FORMAT)
        self.names.append((b"KEYFORMAT", self.block(fmt)))
        self.tree(b"FACETKEYS", [name(b"Accent", 5), name(b"AppIcon", 77), name(b"Other", 78)])
        looks = [(b"NSAppearanceNameDarkAqua", 1), (b"NSAppearanceNameSystem", 0)]
        self.tree(b"APPEARANCEKEYS", [(n, struct.pack("<H", v)) for n, v in looks])
        self.tree(b"RENDITIONS", self.images)
        at, table, out = 512, [], b""
        for data in self.blocks:
            table.append((at, len(data)) if data else (0, 0))
            at, out = at + len(data), out + data
        index = struct.pack(">I", len(table)) + b"".join(struct.pack(">II", *t) for t in table)
        names = struct.pack(">I", len(self.names))
        names += b"".join(struct.pack(">IB", i, len(n)) + n for n, i in self.names)
        head = b"BOMStore" + struct.pack(">IIIIII", 1, len(table), at, len(index), at + len(index), len(names))
        return head.ljust(512, b"\0") + out + index + names


def lzvn(data):
    """Literals only."""
    out, i = b"", 0
    while i < len(data):
        n = min(271, len(data) - i)
        out += (bytes([0xE0, n - 16]) if n > 15 else bytes([0xE0 + n])) + data[i : i + n]
        i += n
    return out + b"\x06" + bytes(7)


def lzfse(data):
    """Blocks that are stored as they are."""
    out = b""
    for i in range(0, len(data), 50000):
        part = data[i : i + 50000]
        out += b"bvx-" + struct.pack("<I", len(part)) + part
    return out + b"bvx$"


PACK = {0: bytes, 2: zlib.compress, 3: lzvn, 4: lzfse}


def bitmap(edge, rows, how, pack, chunk_rows=None, opaque=False):
    """A bitmap of rows (with their padding), whole or in chunks."""
    flags = (1 if chunk_rows else 0) | (2 if opaque else 0)
    if not chunk_rows:
        data = pack(b"".join(rows))
        return b"MLEC" + struct.pack("<III", flags, how, len(data)) + data
    parts = [rows[i : i + chunk_rows] for i in range(0, edge, chunk_rows)]
    out = b"MLEC" + struct.pack("<III", flags, how, len(parts))
    for part in parts:
        data = pack(b"".join(part))
        out += b"KCBC" + struct.pack("<IIII", 0, 0, len(part), len(data)) + data
    return out


def bgra_rows(edge, rgba, padding):
    data = multiplied(rgba)
    px = [data[i : i + 4] for i in range(0, len(data), 4)]
    px = [bytes([p[2], p[1], p[0], p[3]]) for p in px]
    return [b"".join(px[y * edge : (y + 1) * edge]) + b"\xee" * padding for y in range(edge)]


def palette_image(edge, indices, colours):
    """Colours as A, R, G, B with alpha multiplied in; indices from the high bits of 16-bit words."""
    bits = next(b for b in (1, 2, 4, 8, 16) if len(colours) <= 1 << b)
    out = struct.pack("<IIH", 0xCAFEF00D, 1, len(colours))
    out += b"".join(bytes([c[3], c[0], c[1], c[2]]) for c in colours)
    for y in range(edge):
        text = "".join(format(i, f"0{bits}b") for i in indices[y * edge : (y + 1) * edge])
        text += "0" * (-len(text) % 16)
        out += b"".join(struct.pack("<H", int(text[i : i + 16], 2)) for i in range(0, len(text), 16))
    return lzfse(out)


def make(folder):
    def save(name, data, rgba):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
        with open(os.path.join(folder, name.rsplit(".", 1)[0] + ".rgba"), "wb") as f:
            f.write(rgba)

    def png(edge, rgba):
        out = io.BytesIO()
        image(edge, rgba).save(out, "PNG")
        return out.getvalue()

    # Icon files: each kind of image, and which of several wins.
    for edge, kind in ((32, b"ic11"), (256, b"ic08"), (512, b"ic14"), (1024, b"ic10")):
        rgba = picture(edge, edge)
        save(f"png{edge}.icns", icns((b"TOC ", bytes(8)), (b"ic04", b"ARGB"), (kind, png(edge, rgba))), rgba)
    for edge, kind in ((16, b"ic04"), (18, b"icsb"), (32, b"ic05"), (36, b"icsB"), (128, b"ic07"), (256, b"ic08")):
        rgba = picture(edge, edge)
        data = b"ARGB" + b"".join(packed(rgba[c::4]) for c in (3, 0, 1, 2))
        save(f"argb{edge}.icns", icns((kind, data), (b"info", b"bplist00")), rgba)
    for edge, kind, mask in ((16, b"is32", b"s8mk"), (32, b"il32", b"l8mk"), (48, b"ih32", b"h8mk"), (128, b"it32", b"t8mk")):
        rgba = picture(edge, edge)
        data = (bytes(4) if kind == b"it32" else b"") + b"".join(packed(rgba[c::4]) for c in range(3))
        save(f"planes{edge}.icns", icns((kind, data), (mask, rgba[3::4])), rgba)
        opaque = b"".join(rgba[i : i + 3] + b"\xff" for i in range(0, len(rgba), 4))
        save(f"nomask{edge}.icns", icns((kind, data)), opaque)
    rgba = picture(256, 1)
    im = image(256, rgba)
    forms = {
        "plain": {}, "raw": {"no_jp2": True}, "layers": {"quality_layers": [40, 10, 0]}, "nomct": {"mct": 0},
        "tiles": {"tile_size": (128, 128)}, "levels": {"num_resolutions": 3}, "blocks": {"codeblock_size": (32, 32)},
        "precincts": {"precinct_size": (128, 128), "progression": "RPCL"}, "plt": {"plt": True},
    }
    for name, options in forms.items():
        save(f"jp2-{name}.icns", icns((b"ic08", jp2(im, **options))), rgba)
    for mode in ("RGB", "L", "LA"):
        other = im.convert(mode)
        save(f"jp2-{mode}.icns", icns((b"ic08", jp2(other))), other.convert("RGBA").tobytes())
    lossy = jp2(im, irreversible=True, quality_layers=[10])
    save("jp2-lossy~2.icns", icns((b"ic08", lossy)), Image.open(io.BytesIO(lossy)).convert("RGBA").tobytes())
    edge = 512
    big = picture(edge, 2)
    save("jp2-512.icns", icns((b"ic08", png(256, rgba)), (b"ic09", jp2(image(edge, big)))), big)
    # At the same size the PNG; the file for dark mode is not looked into.
    dark = icns((b"ic09", png(edge, picture(edge, 3))))
    save("choice.icns", icns((b"ic13", jp2(image(256, picture(256, 4)))), (b"ic08", png(256, rgba)), (b"\xfd\xd9\x2f\xa8", dark)), rgba)
    # A damaged largest image is passed over.
    save("damaged.icns", icns((b"ic09", jp2(image(edge, big))[:2000]), (b"ic08", png(256, rgba))), rgba)

    # Asset catalogs.
    straight = unmultiplied(multiplied(rgba))
    large = bitmap(512, bgra_rows(512, big, 0), 0, bytes)
    for how, name in ((0, "plain"), (2, "zlib"), (3, "lzvn"), (4, "lzfse")):
        for chunked in (None, 85):
            for padding in (0, 64):
                c = Catalog()
                rows = bgra_rows(256, rgba, padding)
                c.add(256, b"BGRA", bitmap(256, rows, how, PACK[how], chunked), 1024 + padding)
                c.add(64, b"BGRA", bitmap(64, bgra_rows(64, picture(64, 9), 0), 0, bytes), 256)
                # Larger, but of another name or look.
                c.add(512, b"BGRA", large, 2048, identifier=78)
                c.add(512, b"BGRA", large, 2048, look=1)
                save(f"car-{name}-{chunked or 'whole'}-{padding}.car", c.write(), straight)
    c = Catalog()
    c.add(256, b"BGRA", bitmap(256, bgra_rows(256, rgba, 0), 4, lzfse, 100, opaque=True), 1024)
    dull = multiplied(rgba)
    save("car-opaque.car", c.write(), b"".join(dull[i : i + 3] + b"\xff" for i in range(0, len(dull), 4)))
    c = Catalog()
    grey = [(p[0] * p[3] // 255, p[3]) for p in (rgba[i : i + 4] for i in range(0, len(rgba), 4))]
    rows = [b"".join(bytes(g) for g in grey[y * 256 : y * 256 + 256]) for y in range(256)]
    c.add(256, b" 8AG", bitmap(256, rows, 4, lzfse, 64), 512)
    save("car-grey.car", c.write(), unmultiplied(b"".join(bytes([g, g, g, a]) for g, a in grey)))
    c = Catalog()
    file = png(256, rgba)
    c.add(256, b"ATAD", b"DWAR" + struct.pack("<II", 0, len(file)) + file, 0)
    save("car-file.car", c.write(), rgba)
    for count in (2, 3, 16, 17, 200, 256, 300, 4096):
        rnd = random.Random(count)
        colours = [bytes(multiplied(bytes([rnd.randrange(256) for _ in range(3)] + [rnd.choice((0, 90, 255))]))) for _ in range(count)]
        indices = [rnd.randrange(count) for _ in range(90 * 90)]
        c = Catalog()
        pieces = [palette_image(90, indices, colours)]
        data = b"MLEC" + struct.pack("<III", 0, 8, len(pieces[0])) + pieces[0]
        c.add(90, b"BGRA", data, 384)
        save(f"car-palette{count}.car", c.write(), unmultiplied(b"".join(colours[i] for i in indices)))
    c = Catalog()
    c.add(256, b"BGRA", bitmap(256, bgra_rows(256, rgba, 0), 0, bytes), 1024)
    c.add(1024, b"BGRA", b"MLEC" + struct.pack("<III", 0, 11, 4) + b"dmp2", 4096)
    c.add(512, b"WBGR", large, 4096)
    save("car-deepmap.car", c.write(), straight)


def check(folder):
    wrong = 0
    names = [n for n in sorted(os.listdir(folder)) if n.endswith(".rgba")]
    for name in names:
        stem = os.path.join(folder, name[:-5])
        with open(stem + ".rgba", "rb") as f:
            want = f.read()
        with Image.open(stem + ".png") as im:
            im.load()
            edge = int((len(want) // 4) ** 0.5)
            got = im.convert("RGBA").tobytes()
            if im.format != "PNG" or im.size != (edge, edge):
                print(f"{name}: {im.format} of {im.size}, not {edge}")
                wrong += 1
                continue
        most = int(stem.rsplit("~", 1)[1]) if "~" in stem else 0
        worst = max(abs(a - b) for a, b in zip(want, got))
        if worst > most:
            print(f"{name}: differs by up to {worst}")
            wrong += 1
    print(f"{len(names)} images, {wrong} wrong")
    sys.exit(1 if wrong or not names else 0)


if __name__ == "__main__":
    if not features.check("jpg_2000"):
        sys.exit(77)
    {"make": make, "check": check}[sys.argv[1]](sys.argv[2])
