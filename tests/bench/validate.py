"""Times `marketpipe validate` against one full scan of all columns of the same files by DuckDB.

    cargo build && python tests/bench/validate.py [PROGRAM] --lake DIR [--runs N] [--at-most RATIO] [--at-most-mib MIB]

DIR is the folder of the aggregation benchmark (DIR/data), which makes it: minutes of regular hours, 40 symbols, 500
sessions, about 7.7 million rows. Both take turns; each turn is a process of its own, timed from its start to its end.
MarketPipe applies every rule and writes its report and its findings; DuckDB adds each column up. The lake is in the
system's file cache for both. MarketPipe's turn has a copy of the data directory (hard links, the catalog copied).

Prints seconds, CPU seconds and peak memory of each turn, and the ratio of the medians (lowest and highest from the
extremes). Exit code 1 when the ratio is above --at-most or MarketPipe's peak above --at-most-mib.

Needs: pip install -r tests/bench/requirements.txt
"""

import argparse
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

from peers import Turn

HERE = pathlib.Path(__file__).resolve().parent


def copy_of(data, folder):
    """Minutes as hard links, which MarketPipe never writes into, and the catalog."""
    folder.mkdir()
    shutil.copytree(data / "lake", folder / "lake", copy_function=os.link)
    for file in data.glob("marketpipe.db*"):
        shutil.copy2(file, folder)
    return folder


def main():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=str(target / "debug" / "marketpipe"))
    parser.add_argument("--lake", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--at-most", type=float, default=3, metavar="RATIO")
    parser.add_argument("--at-most-mib", type=float, default=512, metavar="MIB")
    arguments = parser.parse_args()
    data = (arguments.lake / "data").resolve()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="marketpipe-validate-", dir=arguments.lake)).resolve()
    try:
        environment = {"HOME": str(folder), "PATH": os.environ["PATH"]}
        config = folder / "bench.toml"
        config.touch()
        copy = copy_of(data, folder / "data")
        ours = [arguments.program, "--config", str(config), "--data-dir", str(copy), "--quiet", "--format", "csv"]
        commands = {
            "marketpipe": [*ours, "validate", "--fail-on", "never"],
            "duckdb": [sys.executable, str(HERE / "validate_scan.py"), str(copy / "lake")],
        }
        turns = {name: [] for name in commands}
        for number in range(arguments.runs + 1):
            for name, command in commands.items():
                turn = Turn(command, environment, lambda _: 1)
                label = f"run {number}" if number else "warm-up"
                print(
                    f"{label:8} {name:10} {turn.wall_s:6.2f} s {turn.cpu_s:6.2f} CPU s {turn.peak_mib:5.0f} MiB peak",
                    flush=True,
                )
                # The first turns fill the system's file cache; nobody counts them.
                if number:
                    turns[name].append(turn)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    wall = {name: [turn.wall_s for turn in of_name] for name, of_name in turns.items()}
    cpu = {name: statistics.median(turn.cpu_s for turn in of_name) for name, of_name in turns.items()}
    ratio = statistics.median(wall["marketpipe"]) / statistics.median(wall["duckdb"])
    lowest = min(wall["marketpipe"]) / max(wall["duckdb"])
    highest = max(wall["marketpipe"]) / min(wall["duckdb"])
    peak = max(turn.peak_mib for turn in turns["marketpipe"])
    print(
        f"validate takes {ratio:.2f} times as long as a scan of all columns (lowest {lowest:.2f}, highest {highest:.2f}), "
        f"{cpu['marketpipe'] / cpu['duckdb']:.2f} times the CPU seconds; {peak:.0f} MiB peak"
    )
    return 1 if ratio > arguments.at_most or peak > arguments.at_most_mib else 0


if __name__ == "__main__":
    sys.exit(main())
