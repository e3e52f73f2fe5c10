"""Asks Prometheus every query of a Grafana dashboard and tells which panels would stay empty.

    python3 tests/monitoring/dashboard.py [--prometheus URL] [--dashboard FILE]

A dashboard does not fail: after a metric, a label or a function was renamed its panels just show nothing. This finds them
without Grafana. Each panel's queries, and those of the dashboard's variables, are asked at the present moment, with
Grafana's variables replaced: $__range by 1d, $__interval and $__rate_interval by 5m, every other one by what it stands for
when all is chosen.

Prints a line for each query: what came of it, how many series have a value (NaN is none), and the panel's row and title.
Exit code 1 when a query cannot be parsed, names a variable that is not known, or gives no value; 2 when Prometheus cannot
be asked.

Prometheus must have scraped a `marketpipe metrics serve` of which every command ran at least once, and again within the
last five minutes: what is drawn over time shows what changed. Needs Python 3.9 or newer and nothing else.
"""

import argparse
import json
import math
import pathlib
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

DASHBOARD = pathlib.Path(__file__).resolve().parents[2] / "config" / "grafana" / "marketpipe.json"

# What Grafana itself puts in, as in a dashboard of one day.
BUILT_IN = {
    "__range": "1d",
    "__range_s": "86400",
    "__range_ms": "86400000",
    "__interval": "5m",
    "__interval_ms": "300000",
    "__rate_interval": "5m",
}

# ${name}, ${name:format}, $name.
VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")
LABEL_VALUES = re.compile(r"label_values\((?:(?P<metric>.+),\s*)?(?P<label>\w+)\)")


class QueryError(Exception):
    """Why a query gives nothing."""


class Unreachable(Exception):
    """Why Prometheus cannot be asked."""


def chosen_of(dashboard):
    """The dashboard's own variables, each with what it stands for when all is chosen."""
    variables = dashboard.get("templating", {}).get("list", [])
    return {variable["name"]: variable.get("allValue") or ".*" for variable in variables}


def filled(text, chosen):
    """The text with every variable replaced."""

    def value(match):
        name = match[1] or match[2]
        try:
            return BUILT_IN.get(name) or chosen[name]
        except KeyError:
            raise QueryError(f"there is no variable ${name}") from None

    return VARIABLE.sub(value, text)


def queries_of(dashboard):
    """(place, query) of every variable and of every panel, those within rows included."""
    for variable in dashboard.get("templating", {}).get("list", []):
        if variable["type"] == "query":
            query = variable["query"]
            query = query["query"] if isinstance(query, dict) else query
            match = LABEL_VALUES.fullmatch(query)
            if match:
                label = match["label"]
                metric = match["metric"] or f'{{{label}!=""}}'
                query = f"count by ({label}) ({metric})"
            yield f"variable ${variable['name']}", query
    row = "(no row)"
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
        for shown in [panel, *panel.get("panels", [])]:
            targets = shown.get("targets", [])
            for target in targets:
                name = f" [{target['refId']}]" if len(targets) > 1 else ""
                yield f"{row} / {shown['title']}{name}", target.get("expr", "")


def ask(prometheus, query):
    """How many series of the query have a value now."""
    url = f"{prometheus.rstrip('/')}/api/v1/query"
    body = urllib.parse.urlencode({"query": query}).encode()
    try:
        with urllib.request.urlopen(url, body, timeout=30) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        try:
            raise QueryError(json.load(error)["error"]) from error
        except (ValueError, KeyError):
            raise Unreachable(f"{url}: {error}") from error
    except (OSError, ValueError) as error:
        raise Unreachable(f"{url}: {error}") from error
    result = answer["data"]["result"]
    if answer["data"]["resultType"] == "scalar":
        result = [{"value": result}]
    return sum(not math.isnan(float(series["value"][1])) for series in result)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", metavar="URL")
    parser.add_argument("--dashboard", type=pathlib.Path, default=DASHBOARD, metavar="FILE")
    arguments = parser.parse_args()
    dashboard = json.loads(arguments.dashboard.read_text(encoding="utf-8"))
    chosen = chosen_of(dashboard)
    asked = failed = 0
    for place, query in queries_of(dashboard):
        asked += 1
        try:
            series = ask(arguments.prometheus, filled(query, chosen))
            verdict = "ok" if series else "EMPTY"
            words = ""
        except QueryError as error:
            series, verdict, words = 0, "ERROR", f": {error}"
        except Unreachable as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        failed += verdict != "ok"
        print(f"{verdict:5} {series:4}  {place}{words}")
    print(f"{asked} queries, {failed} of them without a value")
    if not asked:
        print(f"error: {arguments.dashboard} has no queries", file=sys.stderr)
    return 1 if failed or not asked else 0


if __name__ == "__main__":
    sys.exit(main())
