"""Access to the recorded sessions in eventryd/tests/traces."""

import json
import pathlib
import sys

FUZZ = pathlib.Path(__file__).resolve().parent


def messages(trace):
    """Return the messages of the first client."""
    sent = json.loads(trace.read_text())["messages"]
    return [bytes.fromhex(m["hex"]) for m in sent if m["dir"] == "c2s" and m["conn"] == 0]


def write_seeds(seeds):
    """Write the pairs (suffix, seed) that `seeds` yields for each trace to the directory in the first argument."""
    corpus = pathlib.Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    traces = sorted((FUZZ.parent / "eventryd" / "tests" / "traces").glob("*.json"))
    if not traces:
        sys.exit("recorded.py: no recorded sessions found")
    for trace in traces:
        for suffix, seed in seeds(messages(trace)):
            (corpus / f"{trace.stem}-{suffix}").write_bytes(seed)
