#!/usr/bin/env python3
"""Make seeds for the fuzz target `frame` from the recorded sessions in eventryd/tests/traces.

Usage: frame_seeds.py DIRECTORY

A seed is a byte that selects the configuration, then pieces of the client's bytes, each after its length, with an
answered call (0xc0) and sent output (0xbf) in between.
"""

from recorded import write_seeds

CONFIGURATIONS = {"rw": 0x10, "ro": 0x11, "sasl": 0x12, "slow": 0x00}
PIECES = {"bytes": 1, "cut": 27, "long": 127}


def seed(configuration, sent, size):
    out = bytearray([configuration])
    for at in range(0, len(sent), size):
        piece = sent[at : at + size]
        out += bytes([len(piece)]) + piece
        if size > 1 or at % 28 == 27:
            out += b"\xc0\xbf"
    return bytes(out)


def seeds(messages):
    sent = b"".join(messages)
    for configuration, choice in CONFIGURATIONS.items():
        for cut, size in PIECES.items():
            yield f"{configuration}-{cut}", seed(choice, sent, size)


if __name__ == "__main__":
    write_seeds(seeds)
