#!/usr/bin/env python3
"""The wire format of docs/wire-format.md in plain Python, nothing but its
standard library, slow and short. It shares no code with the Go programs.

    python3 docs/vectors/reference.py            check wire.json, print the document's examples
    python3 docs/vectors/reference.py --write    make wire.json anew

Use it to check a second implementation, or as the start of one.
"""
import hashlib
import hmac
import json
import pathlib
import struct
import sys

# The field: GF(2^8), x^8+x^4+x^3+x^2+1, alpha = 2.
EXP, LOG = [0] * 510, [0] * 256
value = 1
for exponent in range(255):
    EXP[exponent] = EXP[exponent + 255] = value
    LOG[value] = exponent
    value <<= 1
    if value & 0x100:
        value ^= 0x11D


def mul(a, b):
    return EXP[LOG[a] + LOG[b]] if a and b else 0


def div(a, b):
    return EXP[LOG[a] - LOG[b] + 255] if a else 0


def coefficient(k, esi, i):
    """Factor of source symbol i in repair symbol esi; x_p = alpha^p."""
    c = 1
    for l in range(k):
        if l != i:
            c = mul(c, div(EXP[esi] ^ EXP[l], EXP[i] ^ EXP[l]))
    return c


def adui(packet, size):
    """F, L, packet, zeros."""
    return (struct.pack(">BH", 0, len(packet)) + packet).ljust(size, b"\0")


def repair_symbol(k, esi, packets):
    """The symbol over a block of len(packets) <= k source packets."""
    size = 3 + max(map(len, packets))
    out = bytearray(size)
    for i, p in enumerate(packets):
        c = coefficient(k, esi, i)
        for at, byte in enumerate(adui(p, size)):
            out[at] ^= mul(c, byte)
    return bytes(out)


def repair_packet(k, esi, packets, seq, ssrc, pt=98):
    last = packets[-1]
    return (struct.pack(">BBH", 0x81, pt, seq) + last[4:8] + struct.pack(">I", ssrc) + last[8:12]
            + packets[0][2:4] + bytes([k, len(packets), esi, 0]) + repair_symbol(k, esi, packets))


def recover(k, known, rows):
    """Source packets of a block from those known {index: packet} and repair
    packets; Gauss-Jordan on the missing symbols."""
    n, size = rows[0][19], len(rows[0]) - 22
    missing = [i for i in range(n) if i not in known]
    system = []
    for r in rows[:len(missing)]:
        esi, right = r[20], bytearray(r[22:])
        for i, p in known.items():
            c = coefficient(k, esi, i)
            for at, byte in enumerate(adui(p, size)):
                right[at] ^= mul(c, byte)
        system.append(([coefficient(k, esi, i) for i in missing], right))
    for col in range(len(missing)):
        at = next(r for r in range(col, len(missing)) if system[r][0][col])
        system[col], system[at] = system[at], system[col]
        left, right = system[col]
        f = left[col]
        left[:] = [div(x, f) for x in left]
        right[:] = bytes(div(x, f) for x in right)
        for r in range(len(missing)):
            f = system[r][0][col]
            if r != col and f:
                system[r][0][:] = [a ^ mul(f, b) for a, b in zip(system[r][0], left)]
                system[r][1][:] = bytes(a ^ mul(f, b) for a, b in zip(system[r][1], right))
    return {i: bytes(s[1][3:3 + struct.unpack(">H", s[1][1:3])[0]]) for i, s in zip(missing, system)}


def tag_key(contribution_key):
    """HKDF-SHA-256 (RFC 5869), no salt, one block of output."""
    prk = hmac.digest(bytes(32), contribution_key, "sha256")
    return hmac.digest(prk, b"quartet-tag-v0" + b"\x01", "sha256")


def tag(key, packet):
    return hmac.digest(key, packet, "sha256")[:8]


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 & -(crc & 1))
    return crc ^ 0xFFFFFFFF


def ticks(ns):
    """90 kHz, rounded down."""
    return ns * 9 // 100_000


# The vectors: blocks whose bytes follow from their names.
def noise(text, n):
    """The first n bytes of SHA-256(text, 0), SHA-256(text, 1), … (4 bytes each)."""
    return b"".join(hashlib.sha256(text.encode() + struct.pack(">I", i)).digest() for i in range((n + 31) // 32))[:n]


def ts_packet(text, counter):
    """A TS packet with PID 0x1a5 and payload only."""
    return struct.pack(">BHB", 0x47, 0x1A5, 0x10 | counter & 15) + noise(f"{text} ts {counter}", 184)


def vector(name, k, sizes, isn, timestamp, step, esis, key_bytes=32):
    """A block of len(sizes) source packets of so many TS packets each, with the
    repair packets that have the given ESI."""
    ssrc, repair_ssrc = struct.unpack(">II", noise(f"{name} ssrc", 8))
    source, counter = [], 0
    for i, size in enumerate(sizes):
        head = struct.pack(">BBHII", 0x80, 33, (isn + i) & 0xFFFF, (timestamp + step * i) & 0xFFFFFFFF, ssrc)
        source.append(head + b"".join(ts_packet(name, counter + j) for j in range(size)))
        counter += size
    repair = [repair_packet(k, esi, source, (65535 + q) & 0xFFFF, repair_ssrc) for q, esi in enumerate(esis)]
    key = noise(f"{name} key", key_bytes)
    return {
        "name": name, "K": k, "n": len(sizes), "isn": isn, "source_ssrc": ssrc, "E": 3 + max(map(len, source)),
        "contribution_key": key.hex(), "tag_key": tag_key(key).hex(),
        "coefficients": {str(esi): bytes(coefficient(k, esi, i) for i in range(k)).hex() for esi in esis},
        "source": [p.hex() for p in source], "repair": [p.hex() for p in repair],
        "source_tags": [tag(tag_key(key), p).hex() for p in source], "repair_tags": [tag(tag_key(key), p).hex() for p in repair],
    }


def vectors():
    yield vector("full block of 3", 3, [1, 1, 1], 31007, 2_718_281_828, 1128, [3, 4])
    yield vector("one packet and its copies", 1, [2], 0, 0, 0, [1, 77, 254], 16)
    yield vector("6 of 10, of several sizes, over every wrap", 10, [1, 3, 2, 1, 3, 1], 65533, 2**32 - 2000, 900, [10, 11, 40])
    yield vector("full block of 21, first and last rows", 21, [1] * 21, 50_021, 2**31 - 7, 131, [21, 253, 254])
    yield vector("7 TS packets each", 2, [7, 7], 12345, 987_654_321, 9475, [2])
    yield vector("the longest code, closed early", 254, [1, 2, 1, 1, 2], 254, 254, 3003, [254])


def check(path):
    assert json.loads(path.read_text()) == list(vectors()), f"{path.name} is not what this program makes: --write makes it anew"
    for v in json.loads(path.read_text()):
        source, repair = [bytes.fromhex(x) for x in v["source"]], [bytes.fromhex(x) for x in v["repair"]]
        key = tag_key(bytes.fromhex(v["contribution_key"]))
        assert key.hex() == v["tag_key"], v["name"]
        for esi, row in v["coefficients"].items():
            assert bytes(coefficient(v["K"], int(esi), i) for i in range(v["K"])).hex() == row, v["name"]
        for r in repair:
            seq, ssrc = struct.unpack(">H", r[2:4])[0], struct.unpack(">I", r[8:12])[0]
            assert repair_packet(v["K"], r[20], source, seq, ssrc) == r, (v["name"], r[20])
        for packets, tags in ((source, v["source_tags"]), (repair, v["repair_tags"])):
            assert [tag(key, p).hex() for p in packets] == tags, v["name"]
        lost = range(min(len(repair), len(source)))
        known = {i: p for i, p in enumerate(source) if i not in lost}
        assert all(p == source[i] for i, p in recover(v["K"], known, repair).items()), v["name"]
        print(f"{v['name']}: {len(source)} source and {len(repair)} repair packets, tags, recovery: ok")


# The examples of the document.
KEY = b"0123456789abcdef0123456789abcdef"
NULL = bytes.fromhex("471fff10") + b"\xff" * 184


def example_packet(i):
    return struct.pack(">BBHII", 0x80, 33, (65534 + i) & 0xFFFF, 90000 + 947 * i, 0x11223344) + NULL


def compound(ssrc, cname, first, *apps):
    """An RTCP compound: the SR or RR given, SDES with CNAME, our APP packets."""
    def packet(head, pt, body):
        return struct.pack(">BBH", 0x80 | head, pt, len(body) // 4) + body
    item = bytes([1, len(cname)]) + cname
    sdes = struct.pack(">I", ssrc) + item + bytes(4 - len(item) % 4)
    return first + packet(1, 202, sdes) + b"".join(packet(0, 204, struct.pack(">I", ssrc) + name + data) for name, data in apps)


def examples():
    key = tag_key(KEY)
    block = [example_packet(i) for i in range(4)]
    yield "contribution-key", KEY
    yield "tag-key", key
    yield "source-message", block[0] + tag(key, block[0])
    for k, esi in ((1, 1), (4, 4), (4, 5), (8, 8), (8, 31), (20, 20)):
        yield f"coefficients-{k}-{esi}", bytes(coefficient(k, esi, i) for i in range(k))
    r = repair_packet(4, 4, block, 7, 0x55667788)
    yield "repair-message-4", r + tag(key, r)
    r = repair_packet(4, 5, block, 300, 0x66778899)
    yield "repair-message-5", r + tag(key, r)
    r = repair_packet(4, 4, block[:2], 8, 0x55667788)
    yield "repair-message-short", r + tag(key, r)
    assert recover(4, {1: block[1], 3: block[3]},
                   [repair_packet(4, 4, block, 7, 0x55667788), repair_packet(4, 5, block, 300, 0x66778899)]) == {0: block[0], 2: block[2]}
    yield "digest-crc", struct.pack(">I", crc32c(block[0]))
    window = [example_packet(i) for i in range(2, 1026)]  # sequence numbers 0 to 1023
    yield "digest-window", struct.pack(">IBBHQ", 90000 + 947 * 2, 0, 0, 1024, sum(map(crc32c, window)) % 2**64)

    sr = struct.pack(">BBHIQIII", 0x80, 200, 6, 0x11223344, 12 << 32 | 1 << 31, 1215000, 1200, 1200 * 1316)
    settings = struct.pack(">BBBBIHHHHBBBBBBHQ", 0, 1, 1, 1, 0x11223344, 500, 300, 15, 70, 64, 6, 4, 98, 7, 0, 0, 10_000_000)
    c = compound(0x11223344, b"quartet-11223344", sr, (b"QRTS", settings))
    yield "box-report", c + tag(key, c)
    rr = struct.pack(">BBHIIIIIII", 0x81, 201, 7, 0xA1B2C3D4, 0x11223344, 3 << 24 | 12, 1 << 16 | 175, 5, 12 << 16 | 1 << 15, 4096)
    w = struct.pack(">IBBHQ", 91894, 0, 0, 1024, sum(map(crc32c, window)) % 2**64)
    path = struct.pack(">BBBBIIiII9Q", 0, 1, 1, 0, 0x11223344, 1 << 16 | 175, 1500, 55, 41, 1188, 12, 10, 2, 0, 1, 0, 0, 0) + w
    merged = struct.pack(">BBBBIIiII10Q", 0, 64, 1, 0, 0x11223344, 1 << 16 | 150, 42000, 500000, 41,
                         0b1111, 1175, 2, 0, 0, 1, 0, 0, 1, 10_000_000) + w
    c = compound(0xA1B2C3D4, b"quartet-a1b2c3d4", rr, (b"QRTP", path), (b"QRTM", merged))
    yield "gateway-report", c + tag(key, c)
    empty = struct.pack(">BBHI", 0x80, 201, 1, 0x11223344)
    data = struct.pack(">BBHI", 0, 0, 96, 0xABCDEF01)
    c = compound(0x11223344, b"quartet-11223344", empty, (b"QPRB", data.ljust(96 - 8 - 8 - 28 - 12, b"\0")))
    assert len(c) + 8 == 96
    yield "probe", c + tag(key, c)
    empty = struct.pack(">BBHI", 0x80, 201, 1, 0xA1B2C3D4)
    c = compound(0xA1B2C3D4, b"quartet-a1b2c3d4", empty, (b"QPRA", struct.pack(">BBHII", 0, 0, 96, 0xABCDEF01, 1)))
    yield "probe-answer", c + tag(key, c)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        pathlib.Path(__file__).with_name("wire.json").write_text(json.dumps(list(vectors()), indent=1) + "\n")
    check(pathlib.Path(__file__).with_name("wire.json"))
    for name, data in examples():
        print(f"\n{name} ({len(data)} bytes)")
        for at in range(0, len(data), 32):
            print(data[at:at + 32].hex(" ", 4))
