"""quality-table.py SUMMARY [LANE...]: the table of `kvlab quality` as Markdown, of all lanes or of some."""
import json, sys

lanes = json.load(open(sys.argv[1]))
wanted = sys.argv[2:]
print("| lane | bytes a token | KL (nats) | top-1 | perplexity | 0-100 | 100-300 | 300-600 | 600-900 |")
print("|---|---|---|---|---|---|---|---|---|")
for lane in lanes:
    if wanted and lane["lane"] not in wanted:
        continue
    kl = "0" if lane["kl"] == 0 else f"{lane['kl']:.1e}"
    recall = [f"{100 * share:.1f}" for share in lane["recall"].values()]
    figures = [f"{lane['bytes_per_token']:.0f}", kl, f"{100 * lane['top1_agreement']:.1f} %", f"{lane['perplexity']:.3f}"]
    print(f"| `{lane['lane']}` | " + " | ".join(figures + recall) + " |")
