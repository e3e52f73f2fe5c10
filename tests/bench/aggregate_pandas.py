#!/usr/bin/env python3
"""Makes 5m, 15m, 1h and 1d bars from a lake of 1-minute bars with pandas, symbol by symbol, one file a frame.

The script that is written today where MarketPipe is not at hand: it trusts the minutes to be of regular hours, keeps no
record of what was made from what, and makes everything each time. The minutes of a symbol are read once, for all
frames, so that no more than one symbol is in memory. `aggregate.py` times it.

Usage: aggregate_pandas.py LAKE FOLDER
    LAKE    folder with Parquet files below symbol=X folders
    FOLDER  where out_5m.parquet and the others are written; it must exist
Buckets are of UTC and begin half past the hour, as the session does; a day is the UTC day.

Needs: pip install -r tests/bench/requirements.txt
"""

import pathlib
import sys

import pandas as pd

# A session opens half past an hour of UTC, in summer and in winter.
FRAMES = {"5m": ("5min", "30min"), "15m": ("15min", "30min"), "1h": ("1h", "30min"), "1d": ("1D", None)}
COLUMNS = ["ts", "open", "high", "low", "close", "volume", "trade_count", "vwap"]
HOW = {
    "open": "first",
    "high": "max",
    "low": "min",
    "close": "last",
    "volume": "sum",
    "trade_count": "sum",
    "turnover": "sum",
}


def main(arguments):
    if len(arguments) != 2:
        sys.exit(__doc__)
    lake, folder = arguments
    made = {frame: [] for frame in FRAMES}
    for symbol_folder in sorted(pathlib.Path(lake).rglob("symbol=*")):
        minutes = pd.read_parquet(symbol_folder, columns=COLUMNS).set_index("ts").sort_index()
        minutes["turnover"] = minutes["vwap"] * minutes["volume"]
        for frame, (width, offset) in FRAMES.items():
            # Nights and weekends come out as bars without prices.
            bars = minutes.resample(width, offset=offset).agg(HOW).dropna(subset=["open"]).reset_index()
            bars["vwap"] = bars.pop("turnover") / bars["volume"]
            bars.insert(0, "symbol", symbol_folder.name.removeprefix("symbol="))
            made[frame].append(bars)
    for frame, parts in made.items():
        pd.concat(parts, ignore_index=True).to_parquet(f"{folder}/out_{frame}.parquet")


if __name__ == "__main__":
    main(sys.argv[1:])
