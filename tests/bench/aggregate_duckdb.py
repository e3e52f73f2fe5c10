#!/usr/bin/env python3
"""Makes 5m, 15m, 1h and 1d bars from a lake of 1-minute bars with DuckDB, one query and one file a frame.

The script that is written today where MarketPipe is not at hand: it trusts the minutes to be of regular hours, keeps no
record of what was made from what, and makes everything each time. `aggregate.py` times it.

Usage: aggregate_duckdb.py LAKE FOLDER
    LAKE    folder with Parquet files below symbol=X folders
    FOLDER  where out_5m.parquet and the others are written; it must exist
Buckets are of UTC, an hour begins half past as the session does, a day is the UTC day. Rows are in no order.

Needs: pip install -r tests/bench/requirements.txt
"""

import sys

import duckdb

# A session opens half past an hour of UTC, in summer and in winter. Minutes and hours are cut fastest from ts as it is,
# days from a date: each in the way that takes DuckDB the least time.
FRAMES = {
    "5m": "time_bucket(INTERVAL '5 minutes', ts)",
    "15m": "time_bucket(INTERVAL '15 minutes', ts)",
    "1h": "time_bucket(INTERVAL '1 hour', ts, TIMESTAMPTZ '2000-01-01 00:30:00+00')",
    "1d": "ts::DATE",
}


def main(arguments):
    if len(arguments) != 2:
        sys.exit(__doc__)
    lake, folder = arguments
    connection = duckdb.connect()
    # Without it days would be those of the machine's time zone.
    connection.execute("SET TimeZone = 'UTC'")
    for frame, bucket in FRAMES.items():
        connection.execute(
            f"""
            COPY (
                SELECT symbol, {bucket} AS bucket,
                    arg_min(open, ts) AS open, max(high) AS high, min(low) AS low, arg_max(close, ts) AS close,
                    sum(volume) AS volume, sum(trade_count) AS trade_count, sum(vwap * volume) / sum(volume) AS vwap
                FROM read_parquet('{lake}/**/*.parquet', hive_partitioning = true)
                GROUP BY ALL
            ) TO '{folder}/out_{frame}.parquet' (FORMAT parquet)
            """
        )


if __name__ == "__main__":
    main(sys.argv[1:])
