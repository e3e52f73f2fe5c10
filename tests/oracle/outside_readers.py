"""Reads a lake by its folder, again and again, with pandas, DuckDB and Polars, while somebody writes to it.

Usage: outside_readers.py LAKE_FOLDER STOP_FILE ALLOWED.json

ALLOWED maps `symbol month` to the sums of volume that a complete file may have. Prints one line for each reader:
`name reads errors wrong`. An error is a read that failed and said so; wrong is one that answered something else.
"""

import json
import sys
import time
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl

lake, stop, allowed = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
pattern = str(lake / "provider=alpaca/feed=sip/adjustment=raw/timeframe=1m/**/*.parquet")


def with_pandas():
    bars = pd.read_parquet(lake / "provider=alpaca/feed=sip/adjustment=raw/timeframe=1m", columns=["symbol", "session_date", "volume"])
    month = bars["session_date"].astype(str).str[:7]
    return {f"{s} {m}": v for (s, m), v in bars.groupby(["symbol", month], observed=True)["volume"].sum().items()}


def with_duckdb():
    sql = f"select symbol, strftime(session_date, '%Y-%m'), sum(volume) from read_parquet('{pattern}') group by all"
    return {f"{s} {m}": v for s, m, v in duckdb.sql(sql).fetchall()}


def with_polars():
    bars = pl.scan_parquet(pattern, hive_partitioning=True).select("symbol", "session_date", "volume")
    bars = bars.with_columns(pl.col("symbol").cast(pl.String), month=pl.col("session_date").dt.strftime("%Y-%m"))
    return {f"{s} {m}": v for s, m, v in bars.group_by("symbol", "month").agg(pl.col("volume").sum()).collect().rows()}


readers = {"pandas": with_pandas, "duckdb": with_duckdb, "polars": with_polars}
counts = {name: [0, 0, 0] for name in readers}
begun = time.monotonic()
while True:
    for name, read in readers.items():
        counts[name][0] += 1
        try:
            found = read()
        except (KeyboardInterrupt, SystemExit):
            raise
        # Whatever a reader says is an honest failure; a panic of Polars is no Exception.
        except BaseException as error:  # noqa: BLE001
            counts[name][1] += 1
            print(name, type(error).__name__, str(error)[:200], file=sys.stderr)
            continue
        is_right = found.keys() == allowed.keys() and all(round(value) in allowed[key] for key, value in found.items())
        if not is_right:
            counts[name][2] += 1
            print(name, found, file=sys.stderr)
    if stop.exists() or time.monotonic() - begun > 600:
        break
for name, (reads, errors, wrong) in counts.items():
    print(name, reads, errors, wrong)
