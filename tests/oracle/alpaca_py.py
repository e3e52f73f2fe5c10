#!/usr/bin/env python3
"""Reads 1-minute bars with Alpaca's official Python client and prints what arrived.

An oracle for the fake server: what the vendor's own client reads from it must be what was put into it. Knows nothing
of MarketPipe.

Usage: alpaca_py.py BASE_URL SYMBOLS START END
    BASE_URL  scheme, host and port; no path, no slash at the end
    SYMBOLS   comma-separated
    START     RFC-3339 instant, inclusive
    END       RFC-3339 instant, inclusive
Credentials come from APCA_API_KEY_ID and APCA_API_SECRET_KEY.

Prints one line per symbol, in the order asked for: SYMBOL ROWS SUM_VOLUME FIRST_TS LAST_TS (`-` without rows).

Needs: pip install alpaca-py==0.44.0
"""

import os
import sys
from datetime import datetime, timezone

from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest
from alpaca.data.timeframe import TimeFrame


def main(arguments):
    if len(arguments) != 4:
        sys.exit(__doc__)
    base_url, symbol_list, start, end = arguments
    symbols = symbol_list.split(",")
    client = StockHistoricalDataClient(
        os.environ["APCA_API_KEY_ID"],
        os.environ["APCA_API_SECRET_KEY"],
        url_override=base_url,
    )
    request = StockBarsRequest(
        symbol_or_symbols=symbols,
        timeframe=TimeFrame.Minute,
        start=instant(start),
        end=instant(end),
    )
    bars_by_symbol = client.get_stock_bars(request).data
    for symbol in symbols:
        bars = bars_by_symbol.get(symbol, [])
        volume = sum(int(bar.volume) for bar in bars)
        first, last = (utc(bars[0]), utc(bars[-1])) if bars else ("-", "-")
        print(symbol, len(bars), volume, first, last)


def instant(text):
    # Python 3.10 and older refuse the Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def utc(bar):
    return bar.timestamp.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    main(sys.argv[1:])
