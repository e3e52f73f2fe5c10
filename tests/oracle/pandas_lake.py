"""Reads a lake's folder as any pandas user would and prints `symbol,rows,volume` for each symbol.

Usage: pandas_lake.py LAKE_FOLDER
"""

import sys

import pandas as pd

bars = pd.read_parquet(sys.argv[1])
assert str(bars["ts"].dtype) == "datetime64[us, UTC]", bars["ts"].dtype
for column in ("open", "high", "low", "close", "volume"):
    assert bars[column].dtype == "float64", (column, bars[column].dtype)
assert set(bars["segment"].unique()) <= {"overnight", "pre", "regular", "post"}
assert (bars["session_date"] <= pd.Timestamp("2100-01-01").date()).all()
for symbol, rows in bars.groupby("symbol", observed=True, sort=True):
    assert rows.sort_values("ts")["ts"].is_unique
    print(f"{symbol},{len(rows)},{rows['volume'].sum():.0f}")
