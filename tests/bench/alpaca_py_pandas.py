#!/usr/bin/env python3
"""Fetches 1-minute bars with Alpaca's official client and writes one Parquet file a symbol with pandas.

The script that is written today where MarketPipe is not at hand: one request a symbol, so that no more than one symbol
is in memory, and no check of what arrived. `peers.py` times it.

Usage: alpaca_py_pandas.py BASE_URL SYMBOLS START END FOLDER
    BASE_URL  scheme, host and port; no path, no slash at the end
    SYMBOLS   comma-separated
    START     RFC-3339 instant, inclusive
    END       RFC-3339 instant, inclusive
    FOLDER    where the files are written; it must exist
Credentials come from APCA_API_KEY_ID and APCA_API_SECRET_KEY.

Prints the number of rows written.

Needs: pip install -r tests/oracle/requirements.txt
"""

import os
import sys
from datetime import datetime

from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest
from alpaca.data.timeframe import TimeFrame


def main(arguments):
    if len(arguments) != 5:
        sys.exit(__doc__)
    base_url, symbols, start, end, folder = arguments
    client = StockHistoricalDataClient(
        os.environ["APCA_API_KEY_ID"],
        os.environ["APCA_API_SECRET_KEY"],
        url_override=base_url,
    )
    rows = 0
    for symbol in symbols.split(","):
        request = StockBarsRequest(
            symbol_or_symbols=symbol,
            timeframe=TimeFrame.Minute,
            start=datetime.fromisoformat(start),
            end=datetime.fromisoformat(end),
            feed=DataFeed.SIP,
            adjustment=Adjustment.RAW,
        )
        frame = client.get_stock_bars(request).df
        frame.to_parquet(os.path.join(folder, f"{symbol}.parquet"), engine="pyarrow")
        rows += len(frame)
    print(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
