#!/usr/bin/env python3
"""Writes the pages that belong to a recording of benchmarks.

    scripts/bench-report.py benches/runs/DATE-MACHINE            writes its README.md, and the tables of README.md and docs/benchmarks.md
    scripts/bench-report.py benches/runs/DATE-MACHINE --check    fails where either differs from what it would write

Every number comes from the recording's summary.json files, which scripts/record-bench.sh made.
"""

import json
import pathlib
import sys

BEGIN, END = "<!-- bench-report: begin -->", "<!-- bench-report: end -->"
ROOT = pathlib.Path(__file__).resolve().parent.parent
PARTS = ["story", "gpt2", "weights", "threads", "long", "long-peers", "again-1", "again-2", "again-slower"]


def arms_of(folder, part):
    path = folder / part / "summary.json"
    return json.loads(path.read_text()) if path.exists() else []


def header_of(folder, part):
    path = folder / part / "arms.jsonl"
    return json.loads(path.read_text().splitlines()[0]) if path.exists() else None


def secs(value):
    """Three digits with a unit, as `report::units::secs` prints them."""
    if value is None:
        return "-"
    number, unit = (value, "s") if value >= 1 else (value * 1e3, "ms") if value >= 1e-3 else (value * 1e6, "µs")
    return f"{number:.0f} {unit}" if number >= 100 else f"{number:.2f} {unit}"


def table(arms, lanes, columns, value):
    """A row for each lane, a column for each `(title, predicate)`."""
    rows = [["lane"] + [title for title, _ in columns]]
    for lane in lanes:
        cells = []
        for _, wanted in columns:
            found = [arm for arm in arms if arm["lane"] == lane and wanted(arm)]
            cells.append(value(found[0]) if found else "-")
        if any(cell != "-" for cell in cells):
            engine = next(arm["engine"] for arm in arms if arm["lane"] == lane)
            rows.append([f"`{lane}`" if engine == "kvlab" else f"*{lane}*"] + cells)
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" + "|---:" * len(columns) + "|"] + lines[1:])


def lanes_of(arms):
    return list(dict.fromkeys(arm["lane"] for arm in arms))


def test(name):
    return lambda arm: arm["test"] == name


def step_and_floor(arm):
    if arm["skipped"]:
        return "-"
    ratio = f" ({arm['floor_ratio']:.2f})" if arm["floor_ratio"] else ""
    return secs(arm["median_secs"]) + ratio


def performance(folder):
    """The section of the project's README."""
    gpt2, long = arms_of(folder, "gpt2"), arms_of(folder, "long")
    header = header_of(folder, "gpt2")
    machine, where = header["machine"], folder.relative_to(ROOT)
    columns = [("token behind 128", test("tg16@d128")), ("behind 900", test("tg16@d900")),
               ("a token of each of 8 sequences, behind 900", test("tg16@d900,b8")), ("prompt of 512", test("pp512"))]
    depths = sorted({arm["depth"] for arm in long})
    context = [(f"{depth:,}", test(f"tg8@d{depth}")) for depth in depths]
    return f"""{BEGIN}
GPT-2 small in f32 with random weights, {machine['cores']} cores ({machine['cpu']}, {machine['threads']} threads). Median time of a step, and in brackets how many
times the floor of that moment: one read of the same weights and cache in the same process, or the operations at the processor's peak,
whichever is longer. *Italic*: other engines, in turns with kvlab on the same work ([versions, commands, every sample]({where}/README.md)).

{table(gpt2, lanes_of(gpt2), columns, step_and_floor)}

A decoded token behind long contexts (`shape:gpt2,ctx=32768`):

{table(long, lanes_of(long), context, step_and_floor)}

What follows from the second table is in [docs/benchmarks.md](docs/benchmarks.md). Make your own with `kvlab bench`.
{END}"""


OPEN = ["concat", "contiguous", "paged:16", "candle:concat", "candle:kv"]


def open_question(folder):
    """The tables of docs/benchmarks.md: who is faster at which depth, and what a copy costs."""
    arms = [arm for part in ("gpt2", "long") for arm in arms_of(folder, part)]
    arms = [arm for arm in arms if arm["work"] == "tg" and arm["batch"] == 1]
    depths = sorted({arm["depth"] for arm in arms})
    columns = [(f"{depth:,}", lambda arm, depth=depth: arm["depth"] == depth) for depth in depths]
    base = {arm["depth"]: arm["median_secs"] for arm in arms if arm["lane"] == "contiguous"}
    seconds = table(arms, OPEN, columns, lambda arm: secs(arm["median_secs"]))
    ratios = table(arms, OPEN, columns, lambda arm: f"{arm['median_secs'] / base[arm['depth']]:.2f}" if arm["median_secs"] else "-")
    return f"""{BEGIN}
One sequence, GPT-2 small in f32, both threads; a decoded token behind so many cached ones (parts `gpt2` and `long` of
[{folder.name}](../{folder.relative_to(ROOT)}/README.md)):

{seconds}

The same, as multiples of `contiguous`:

{ratios}
{END}"""


def page(folder):
    """The recording's own README."""
    headers = {part: header for part in PARTS if (header := header_of(folder, part))}
    first = next(iter(headers.values()))
    machine = first["machine"]
    peers = {peer["peer"]: peer["versions"] for header in headers.values() for peer in header["peers"]}
    lines = [
        f"# {folder.name}",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB, {machine['os']}; SIMD "
        f"{' '.join(machine['simd'])}; {machine['threads']} threads. {first['rustc']}. A virtual machine on a shared host: what "
        "neighbours took is in every arm's warnings.",
        "",
        f"Made by `scripts/record-bench.sh KVLAB benches/runs/{folder.name}`, of which each part is one command (in a folder "
        "`PART.recording`). Every arm with all its steps and floors is in `PART/arms.jsonl`; `summary.json` is the same as an array.",
        "",
        "| part | commit | command | table |",
        "|---|---|---|---|",
    ]
    lines += [f"| {part} | {header['commit']} | `{header['command'].replace('|', '/')}` | [summary.md]({part}/summary.md) |"
              for part, header in headers.items()]
    lines += ["", "Peers: " + "; ".join(
        f"{peer} ({', '.join(f'{package} {version}' for package, version in versions.items())})" for peer, versions in peers.items())
        + ". Installed by `benches/peers/install.sh`; what each measures: `benches/peers/README.md`." if peers else ""]
    figures = sorted(path.name for path in (folder / "figures").glob("*.svg"))
    if figures:
        lines += ["", "## Figures", "", "`kvlab plot` of the parts `story`, `gpt2` and `long`, and of `docs/runs/caches/quality`.", ""]
        lines += [f"- [{name}](figures/{name})" for name in figures]
    for name, title in [("compare-again-2.txt", "The same commit twice"), ("compare-again-slower.txt", "A planted slow-down of 10 %")]:
        path = folder / name
        if path.exists():
            lines += ["", f"## {title}", "", "```text", path.read_text().rstrip(), "```"]
    return "\n".join(lines) + "\n"


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--check"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    folder = pathlib.Path(arguments[0]).resolve()
    wanted = {folder / "README.md": page(folder)}
    for path, section in [(ROOT / "README.md", performance(folder)), (ROOT / "docs/benchmarks.md", open_question(folder))]:
        before, rest = path.read_text().split(BEGIN)
        wanted[path] = before + section + rest.split(END)[1]
    if "--check" in sys.argv:
        stale = [str(path.relative_to(ROOT)) for path, text in wanted.items() if not path.exists() or path.read_text() != text]
        sys.exit(f"stale: {', '.join(stale)}; run scripts/bench-report.py {folder.relative_to(ROOT)}" if stale else 0)
    for path, text in wanted.items():
        path.write_text(text)


main()
