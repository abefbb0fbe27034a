#!/usr/bin/env python3
"""Make seeds for the fuzz target `session` from the recorded sessions in tests/traces.

A seed is a byte that chooses the configuration, the lengths of the chunks, and then, per message of the client,
the bytes (0), an answer (9) and output that is sent (10). Run it from anywhere; the seeds go to the directory
named.
"""

import json
import pathlib
import sys

FUZZ = pathlib.Path(__file__).resolve().parent
CONFIGURATIONS = {"rw": 0x0C, "ro": 0x0D, "one": 0x00}
RAW, ANSWER, SEND = 0, 9, 10


def messages(trace):
    sent = json.loads(trace.read_text())["messages"]
    return [bytes.fromhex(m["hex"]) for m in sent if m["dir"] == "c2s" and m["conn"] == 0]


def seed(configuration, sent):
    # One length only: 27 bytes, so that a chunk ends inside every header.
    out = bytearray([configuration, 0, 26])
    for message in sent:
        for at in range(0, len(message), 255):
            piece = message[at : at + 255]
            out += bytes([RAW, len(piece)]) + piece
        out += bytes([ANSWER, SEND, 0xFF])
    return bytes(out)


def main():
    corpus = pathlib.Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    for trace in sorted((FUZZ.parent / "tests" / "traces").glob("*.json")):
        sent = messages(trace)
        for name, configuration in CONFIGURATIONS.items():
            (corpus / f"{trace.stem}-{name}").write_bytes(seed(configuration, sent))


if __name__ == "__main__":
    main()
