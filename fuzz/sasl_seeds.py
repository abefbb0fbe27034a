#!/usr/bin/env python3
"""Make seeds for the fuzz target `sasl` from recorded sessions, and of a correct client.

Usage: sasl_seeds.py DIRECTORY

A seed is a byte that selects the allowed users, and then steps: a control byte and, for most steps, a length and that
number of bytes.
"""

import json
import pathlib
import sys

FUZZ = pathlib.Path(__file__).resolve().parent
INIT, START, BEGIN, ANSWER, PROVE, OPEN = 0, 1, 2, 3, 4, 7
# Flag of a step: the offered mechanism, the existing user, or the right password.
RIGHT = 8


def step(control, payload=b""):
    return bytes([control]) if control & 7 in (INIT, OPEN) else bytes([control, len(payload)]) + payload


def recorded(trace):
    """Return a seed with the data of the START and STEP calls of a recorded client."""
    out = bytes([0])
    for message in json.loads(trace.read_text())["messages"]:
        raw = bytes.fromhex(message["hex"])
        procedure = int.from_bytes(raw[12:16], "big")
        if message["dir"] != "c2s" or procedure not in (67, 68, 69):
            continue
        if procedure == 67:
            out += step(INIT)
            continue
        # After the padded name of the mechanism and the word that tells whether there is data.
        at = 28 + (20 if procedure == 68 else 0) + 8
        out += step(START | RIGHT if procedure == 68 else ANSWER, raw[at + 3 :: 4])
    return out + step(OPEN)


def main():
    corpus = pathlib.Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    traces = sorted((FUZZ.parent / "eventryd" / "tests" / "traces" / "sasl").glob("*.json"))
    if not traces:
        sys.exit("sasl_seeds.py: no recorded sessions found")
    for trace in traces:
        (corpus / trace.stem).write_bytes(recorded(trace))
    begin = step(INIT) + step(BEGIN | RIGHT, b"nonce")
    right, wrong = step(PROVE | RIGHT), step(PROVE)
    for allowed in range(4):
        (corpus / f"right-{allowed}").write_bytes(bytes([allowed]) + begin + right + step(OPEN))
    (corpus / "wrong").write_bytes(bytes([0]) + (begin + wrong) * 2 + begin + right + step(OPEN))
    (corpus / "denied").write_bytes(bytes([0]) + (begin + wrong) * 3 + step(OPEN))
    (corpus / "damaged").write_bytes(bytes([0]) + begin + step(PROVE | RIGHT, b"\x20\x01"))
    (corpus / "unknown").write_bytes(bytes([0]) + step(INIT) + step(BEGIN, b"nonce") + right)


if __name__ == "__main__":
    main()
