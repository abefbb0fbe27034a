#!/usr/bin/env python3
"""Make seeds for the fuzz target `virconf` from the samples in packaging: each setting alone, and all together.

Usage: virconf_seeds.py DIRECTORY
"""

import pathlib
import re
import sys

FUZZ = pathlib.Path(__file__).resolve().parent
TWISTS = {
    "separators": b"max_clients=7;min_workers=2 ; # x\n\tlog_level = 1\r\n",
    "quotes": b"log_filters = '1:a'\nlisten_addr = \"\"\"x'\n\"y\"\"\"\n",
    "backslash": b'tls_allowed_dn_list = [ "O=Red Hat\\, Inc",\n "CN=*",\n]\n',
    "numbers": b"max_clients = 007\nkeepalive_interval = -1\nmax_workers = +5\n",
    "twice": b"max_clients = 1\nmax_clients = 2\n",
    "unknown": b"max_client = 1\n",
    "nested": b"access_drivers = [ [ [ 1 ] ] ]\n",
    "toml": b"listen_tcp = true\nmax_clients = 0x10\n[table]\na.b = 1.5\n",
}


def main():
    corpus = pathlib.Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    samples = sorted((FUZZ.parent / "packaging").glob("eventryd.*"))
    if not samples:
        sys.exit("virconf_seeds.py: no sample files found")
    for sample in samples:
        settings = re.findall(r"^#(\w+ = .*)$", sample.read_text(), re.MULTILINE)
        (corpus / sample.name).write_text("\n".join(settings))
        for setting in settings:
            (corpus / f"{sample.suffix[1:]}-{setting.split()[0]}").write_text(setting)
    for name, text in TWISTS.items():
        (corpus / name).write_bytes(text)


if __name__ == "__main__":
    main()
