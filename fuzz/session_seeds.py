#!/usr/bin/env python3
"""Make seeds for the fuzz target `session` from the recorded sessions in eventryd/tests/traces.

Usage: session_seeds.py DIRECTORY

A seed is a byte that selects the configuration, the lengths of the pieces, and then, per message of the client, its
bytes (0), an answer (9) and sent output (10).
"""

from recorded import write_seeds

CONFIGURATIONS = {"rw": 0x0C, "ro": 0x0D, "one": 0x00}
RAW, ANSWER, SEND = 0, 9, 10


def seed(configuration, sent):
    # One length: 27 bytes, so that a piece ends inside every header.
    out = bytearray([configuration, 0, 26])
    for message in sent:
        for at in range(0, len(message), 255):
            piece = message[at : at + 255]
            out += bytes([RAW, len(piece)]) + piece
        out += bytes([ANSWER, SEND, 0xFF])
    return bytes(out)


def seeds(messages):
    for name, configuration in CONFIGURATIONS.items():
        yield name, seed(configuration, messages)


if __name__ == "__main__":
    write_seeds(seeds)
