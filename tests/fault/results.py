#!/usr/bin/env python3
"""Runs every fault test at full length and writes what came of it to tests/fault/RESULTS.md.

    python3 tests/fault/results.py [--long KIND,KIND] [-- ARGUMENTS FOR CARGO]

KIND is crash, storage, damage, concurrency, network, security or clock; all of them when nothing is said. The others are
run as short as in the everyday test command, and the page says which.

Each experiment writes its own row (tests/it/support/experiment.rs); nothing in the table is written by hand. A test that
fails leaves a row that says so, and this script then ends with exit code 1.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = {
    "crash": "Killed",
    "storage": "Disk, descriptors, memory, pipes",
    "damage": "Harmed files",
    "concurrency": "Side by side",
    "network": "The provider's answers",
    "security": "Attacks",
    "clock": "Clocks and time zones",
}
# Tests that lie elsewhere than in tests/it/fault/KIND.rs.
FILTERS = {"crash": ["fault::crash", "kills::each_killed", "kills::killed_again"], "network": ["faults::whatever"]}
TOOLS = {"strace": ["strace", "--version"], "faketime": ["faketime", "--version"], "openssl": ["openssl", "version"]}


def version(command):
    """The first line of what a tool says of itself; None where it is not at hand."""
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return (said.stdout or said.stderr).strip().splitlines()[0]


def rows_of(folder):
    """Every row by section, sorted by its words, so that the table does not depend on the order of threads."""
    rows = {}
    for path in folder.glob("*.tsv"):
        for line in path.read_text().splitlines():
            section, fault, injected, expected, runs, result = line.split("\t")
            rows.setdefault(section, []).append((fault, injected, expected, int(runs), result))
    return {section: sorted(found) for section, found in rows.items()}


def table(rows):
    """One section as Markdown; what is the same in all its rows is said once above."""
    cell = lambda text: str(text).replace("|", "\\|")
    yield "| fault | injected | expected | runs | result |"
    yield "|---|---|---|--:|---|"
    for row in rows:
        yield "| " + " | ".join(cell(value) for value in row) + " |"


def write(rows, length, skipped):
    """The page."""
    everything = [row for found in rows.values() for row in found]
    failed = [row for row in everything if row[4] == "FAILED"]
    kills = sum(row[3] for row in rows.get("crash", []))
    lines = [
        "# Faults, and what came of them",
        "",
        f"Written by `tests/fault/results.py` ({length}); CONTRIBUTING.md says how to run it again.",
        "",
        f"**{len(everything)} distinct faults, {sum(row[3] for row in everything):,} runs, {kills:,} of them killed; "
        f"{len(failed)} failed.** "
        "A run counts only if the program did what the column says, printed no panic and no key, and lost, doubled or altered "
        "no bar that it had reported as committed.",
        "",
        f"{platform.system()} {platform.machine()}; " + "; ".join(
            f"{name}: {version(command) or 'not at hand, its faults were skipped'}" for name, command in TOOLS.items()
        ) + ".",
    ]
    if skipped:
        lines += ["", f"Skipped: {', '.join(sorted(skipped))}."]
    for section, title in SECTIONS.items():
        if section in rows:
            lines += ["", f"## {title}", "", *table(rows[section])]
    lines += [
        "",
        "## What is not defended",
        "",
        "- Parquet pages have no checksums of their own: the library that writes them cannot write any yet. Each file has a SHA-256",
        "  in the catalog, and its rows another in its footer; `query`, `aggregate`, `validate` and `doctor --deep` prove them. Other",
        "  programs that read the lake do not.",
        "- SQLite pages have no checksums either: a bit that flips inside a number of the database is found only where it",
        "  contradicts a file (`doctor` compares what ledger and catalog count) or breaks a page.",
        "- Jobs, quarantine, revisions, findings and measurements are in the database alone. `doctor --rebuild-catalog` restores what",
        "  the lake holds, and keeps the old database beside the new one.",
        "- A disk that says it has written what it has not, network file systems that ignore locks, and somebody who changes files",
        "  during a commit. What is against attackers is in SECURITY.md.",
        "",
    ]
    (ROOT / "tests/fault/RESULTS.md").write_text("\n".join(lines))
    return failed


def run_tests(filters, is_long, rows, cargo):
    """Runs the tests with these words in their names; what cargo printed, and whether all passed."""
    environment = dict(os.environ, MARKETPIPE_FAULT_ROWS=rows)
    if is_long:
        environment.update(MARKETPIPE_FAULTS="long", MARKETPIPE_KILLS="200")
    command = ["cargo", "test", "--locked", *cargo, "--test", "it", "--", *filters, "--nocapture"]
    ran = subprocess.run(command, cwd=ROOT, env=environment, text=True, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, check=False)
    sys.stdout.write(ran.stdout)
    sys.stdout.flush()
    return ran.stdout, ran.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", default=",".join(SECTIONS), metavar="KIND,KIND", help="run these kinds at full length [default: all]")
    parser.add_argument("cargo", nargs="*", help="arguments for cargo test, for example --no-default-features")
    options = parser.parse_args()
    long = [kind for kind in options.long.split(",") if kind]
    unknown = set(long) - set(SECTIONS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    short = [kind for kind in SECTIONS if kind not in long]
    length = "at full length" if not short else f"at full length: {', '.join(long) or 'none'}; as every day: {', '.join(short)}"
    with tempfile.TemporaryDirectory() as rows:
        said, is_fine = "", True
        for kinds, is_long in ((long, True), (short, False)):
            filters = [word for kind in kinds for word in FILTERS.get(kind, [f"fault::{kind}"])]
            if filters:
                printed, passed = run_tests(filters, is_long, rows, options.cargo)
                said, is_fine = said + printed, is_fine and passed
        skipped = {line.removeprefix("skipped: ").strip() for line in said.splitlines() if line.startswith("skipped: ")}
        failed = write(rows_of(Path(rows)), length, skipped)
    for row in failed:
        print("FAILED:", row[0], file=sys.stderr)
    sys.exit(1 if failed or not is_fine else 0)


if __name__ == "__main__":
    main()
