#!/usr/bin/env python3
"""Reads every column of every minute file once, with DuckDB: what validation is measured against.

    python validate_scan.py LAKE
"""

import sys

import duckdb

lake = sys.argv[1]
answer = duckdb.connect().execute(
    f"""
    SELECT count(*), max(epoch_us(ts)), sum(open), sum(high), sum(low), sum(close), sum(volume), sum(trade_count), sum(vwap),
        max(session_date), max(segment)
    FROM read_parquet('{lake}/*/*/*/timeframe=1m/*/*/*.parquet', hive_partitioning = false)
    """
).fetchall()
print(answer[0][0])
