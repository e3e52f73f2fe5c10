#!/usr/bin/env python3
"""Counts and adds up bars in Parquet files, to see whether two programs made the same.

Usage: aggregate_sums.py GLOB..

Prints a line of JSON for each GLOB: bars, volume, and opens, highs, lows and closes in cents. `aggregate.py` compares
them; that it does not do so itself keeps its own memory out of what the system reports for the programs it starts.

Needs: pip install -r tests/bench/requirements.txt
"""

import json
import sys

import duckdb


def main(arguments):
    if not arguments:
        sys.exit(__doc__)
    for glob in arguments:
        names = ["bars", "volume", "opens", "highs", "lows", "closes"]
        prices = ", ".join(f"sum(round({name} * 100)::HUGEINT)" for name in ("open", "high", "low", "close"))
        row = duckdb.execute(f"SELECT count(*), sum(volume::HUGEINT), {prices} FROM read_parquet('{glob}')").fetchone()
        print(json.dumps(dict(zip(names, (int(number or 0) for number in row)))))


if __name__ == "__main__":
    main(sys.argv[1:])
