#!/usr/bin/env python3
"""Writes vectors.json: blocks and their repair packets, computed literally as
RFC 5510 section 8 has it, V_KK^-1 * V_KN over GF(2^8)/0x11D, with nothing
shared with the Go code. Usage: vectors.py > vectors.json"""
import json
import struct


def mul(a, b):
    r = 0
    while b:
        if b & 1:
            r ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11D
        b >>= 1
    return r


def power(a, n):
    r = 1
    for _ in range(n):
        r = mul(r, a)
    return r


INVERSE = {a: b for a in range(1, 256) for b in range(1, 256) if mul(a, b) == 1}


def vandermonde(rows, cols):
    """Element (i, j) is (alpha^j)^i."""
    return [[power(power(2, j), i) for j in range(cols)] for i in range(rows)]


def invert(m):
    n = len(m)
    a = [row[:] + [int(i == j) for j in range(n)] for i, row in enumerate(m)]
    for c in range(n):
        p = next(r for r in range(c, n) if a[r][c])
        a[c], a[p] = a[p], a[c]
        f = INVERSE[a[c][c]]
        a[c] = [mul(f, x) for x in a[c]]
        for r in range(n):
            if r != c and a[r][c]:
                f = a[r][c]
                a[r] = [x ^ mul(f, y) for x, y in zip(a[r], a[c])]
    return [row[n:] for row in a]


def column(k, esi):
    """The coefficients of all source symbols in repair symbol esi."""
    inv = invert(vandermonde(k, k))
    v = [power(power(2, esi), i) for i in range(k)]
    out = []
    for i in range(k):
        # (v^T as a column of V_KN): row i of V_KK^-1 times that column
        x = 0
        for j in range(k):
            x ^= mul(inv[i][j], v[j])
        out.append(x)
    return out


def block(name, k, lengths, isn, esis, ssrc, repair_ssrc, first_seq):
    n = len(lengths)
    source = []
    for i, length in enumerate(lengths):
        head = struct.pack(">BBHII", 0x80, 33, (isn + i) & 0xFFFF, (0xFFFFFF00 + 90 * i) & 0xFFFFFFFF, ssrc)
        source.append(head + bytes((17 * i + 31 * j + len(name)) & 0xFF for j in range(length - 12)))
    e = 3 + max(lengths)
    aduis = [(b"\0" + struct.pack(">H", len(s)) + s).ljust(e, b"\0") for s in source]
    last_ts = source[-1][4:8]
    repair, coefficients = [], {}
    for q, esi in enumerate(esis):
        c = column(k, esi)
        coefficients[str(esi)] = bytes(c).hex()
        symbol = bytearray(e)
        for i in range(n):
            for x in range(e):
                symbol[x] ^= mul(c[i], aduis[i][x])
        head = struct.pack(">BBH", 0x81, 98, (first_seq + q) & 0xFFFF) + last_ts + struct.pack(">II", repair_ssrc, ssrc)
        head += struct.pack(">HBBBB", isn, k, n, esi, 0)
        repair.append((head + symbol).hex())
    return {
        "name": name, "K": k, "n": n, "isn": isn, "source_ssrc": ssrc, "E": e, "coefficients": coefficients,
        "source": [s.hex() for s in source], "repair": repair,
    }


print(json.dumps([
    block("k4-full", 4, [20, 20, 20, 20], 1000, [4, 5, 6, 7], 0x01020304, 0x0A0B0C0D, 65534),
    block("k1-copies", 1, [16], 65535, [1, 2, 254], 1, 2, 0),
    block("k6-short-mixed-wrap", 6, [24, 12, 31, 13], 65534, [6, 7, 8, 200], 0xFFFFFFFF, 0x80000000, 7),
    block("k16-last-rows", 16, [14] * 16, 5, [16, 239, 253, 254], 0x11223344, 0x55667788, 99),
], indent=1))
