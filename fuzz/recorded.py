"""The recorded sessions in eventryd/tests/traces, for those who make seeds of them."""

import json
import pathlib
import sys

FUZZ = pathlib.Path(__file__).resolve().parent


def messages(trace):
    """The messages of the first client."""
    sent = json.loads(trace.read_text())["messages"]
    return [bytes.fromhex(m["hex"]) for m in sent if m["dir"] == "c2s" and m["conn"] == 0]


def write_seeds(seeds):
    """Write what `seeds` yields for the messages of each trace, (suffix, seed), to the directory named."""
    corpus = pathlib.Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    traces = sorted((FUZZ.parent / "eventryd" / "tests" / "traces").glob("*.json"))
    if not traces:
        sys.exit("recorded.py: no recorded sessions found")
    for trace in traces:
        for suffix, seed in seeds(messages(trace)):
            (corpus / f"{trace.stem}-{suffix}").write_bytes(seed)
