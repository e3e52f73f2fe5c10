#!/usr/bin/env python3
"""Makes 5m, 15m, 1h and 1d bars from a lake of 1-minute bars with Polars, one query and one file a frame.

The script that is written today where MarketPipe is not at hand: it trusts the minutes to be of regular hours, keeps no
record of what was made from what, and makes everything each time. `aggregate.py` times it.

Usage: aggregate_polars.py LAKE FOLDER
    LAKE    folder with Parquet files below symbol=X folders, in whose order the minutes of a symbol ascend
    FOLDER  where out_5m.parquet and the others are written; it must exist
Buckets are of UTC and begin half past the hour, as the session does; a day is the UTC day.

Needs: pip install -r tests/bench/requirements.txt
"""

import sys

import polars as pl

# A session opens half past an hour of UTC, in summer and in winter.
FRAMES = {"5m": "30m", "15m": "30m", "1h": "30m", "1d": "0m"}


def main(arguments):
    if len(arguments) != 2:
        sys.exit(__doc__)
    lake, folder = arguments
    for frame, offset in FRAMES.items():
        bars = (
            pl.scan_parquet(f"{lake}/**/*.parquet", hive_partitioning=True)
            .group_by_dynamic("ts", every=frame, offset=offset, group_by=["symbol"])
            .agg(
                pl.col("open").first(),
                pl.col("high").max(),
                pl.col("low").min(),
                pl.col("close").last(),
                pl.col("volume").sum(),
                pl.col("trade_count").sum(),
                ((pl.col("vwap") * pl.col("volume")).sum() / pl.col("volume").sum()).alias("vwap"),
            )
            .collect()
        )
        bars.write_parquet(f"{folder}/out_{frame}.parquet")


if __name__ == "__main__":
    main(sys.argv[1:])
