"""Writes the model card from evaluation.json: card.py MODELDIR [--check]

With --check, fails if MODELDIR/README.md is not what evaluation.json says.
"""

import json
import sys
from pathlib import Path

from measures import BUCKETS

NAMES = [f"{lo}-{hi}" for lo, hi in BUCKETS]


def table(e):
    held = e["held_out"]
    lines = ["| cache | perplexity | " + " | ".join(NAMES) + " |", "|---|" + "---|" * (1 + len(NAMES))]
    for name, row in held["caches"].items():
        figures = [f"{row['recall_percent'][b]:.1f}" for b in NAMES]
        lines.append(f"| {name} | {row['perplexity']:.2f} | " + " | ".join(figures) + " |")
    guess = held["guess_latest_of_attribute_percent"]
    lines.append("| no model: guess the latest value of that attribute | | " + " | ".join(f"{guess[b]:.1f}" for b in NAMES) + " |")
    return "\n".join(lines)


def wrong_prompts(e):
    wrong = [c for c in e["prompts"]["cases"] if not c["right"]]
    if not wrong:
        return ""
    return "\n\nAnswered wrong:\n\n" + "\n".join(
        f"- `{c['prompt'].replace(chr(10), ' / ')}`: `{c['given']}` instead of `{c['answer']}`" for c in wrong)


def aims(text):
    met = {"lists": text["lists_repeating_a_name_percent"] <= 5,
           "contradictions": text["restated_facts_contradicting_percent"] <= 5,
           "acting friends": text["of_these_with_3_or_more_acting"] == text["stories_of_3_or_more_friends"]}
    return ", ".join(f"{name}: {'reached' if ok else 'missed'}" for name, ok in met.items())


def card(e):
    t, text, real = e["training"], e["text"], e["text"]["same_measures_on_training_language"]
    exact = e["held_out"]["caches"]["exact"]
    same = e["held_out"]["exact_on_heldout_jsonl"]
    count = ", ".join(f"{exact['count'][b]} at {b}" for b in NAMES)
    sample = e["text"]["samples"][0].strip().replace("\n", "\n> \n> ")
    return f"""# The story model

A GPT-2 of {e['parameters'] / 1e6:.2f} million parameters ({t['layers']} layers, 6 heads of 32, 1,024 positions, f32,
{e['bytes']['total'] / 1e6:.1f} MB in all), trained from nothing on a CPU to tell tiny stories and to recall the facts
in them over its whole context. It exists to make a KV cache visible: what a cache forgets or
rounds away, this model gets wrong. It is no use for anything else.

## Use
- The layout is Hugging Face's GPT-2: `config.json`, `model.safetensors` (tied head, no mask buffers), `tokenizer.json`.
- A prompt works with or without `<|endoftext|>` in front. That token (id 0) also ends a story: stop there.
- Type facts, then begin a sentence that recalls one: `{e['prompts']['cases'][0]['prompt']}` gives `{e['prompts']['cases'][0]['given']}`.
  Ask with the verbs of `recipe/words.py` ("took out her", "fed his", "went home to the"). A name or a word
  that is not in that file is not understood. `Once upon a time there were` starts a story.
- `heldout.jsonl`: 32 stories of 1,024 tokens, with the place of every recalled value.
- `calibration.txt`: six more stories, from seeds that neither training nor evaluation uses. kvlab runs them through a
  model to find the levels of its `kvq` caches. `python3 recipe/calibration.py calibration.txt` wrote it.

## Recall
Per cent of recalled values (the first word of the value, greedy) that are right, by the number of
tokens since the fact was last mentioned. The (name, value) pairs of these {e['held_out']['stories']} stories were held out of
training: one pair in eight, though a story that runs out of them takes others. Recalled values: {count}.

{table(e)}

Windows keep the first 4 and the last N positions and mask the rest; positions stay absolute. Rounding is symmetric, with one
scale per token and head. At short distances recall proves little, as the last line shows.
On the 32 stories of `heldout.jsonl` alone, the exact cache scores {' / '.join(f"{same['recall_percent'][b]:.1f}" for b in NAMES)}.
Largest difference to transformers on the logits: {e['parity_max_abs_logit_difference']:.1e}.

## Short prompts
{e['prompts']['right']} of {e['prompts']['of']} prompts typed as a person would (`recipe/prompts.json`) are answered right, greedily.{wrong_prompts(e)}

## Free text
{text['stories']} stories sampled at temperature {text['temperature']}, top-p {text['top_p']}, up to {text['new_tokens']} tokens, {len(text['openings'])} openings.
The last column is the language the model was trained on, by the same measures.

| measure | model | language |
|---|---|---|
| name lists that repeat a name | {text['lists_repeating_a_name_percent']} % of {text['lists']} | {real['lists_repeating_a_name_percent']} % |
| name lists with a name that is not in the story | {text['lists_naming_strangers_percent']} % of {text['lists']} | {real['lists_naming_strangers_percent']} % |
| restated facts that contradict the story | {text['restated_facts_contradicting_percent']} % of {text['restated_facts']} | {real['restated_facts_contradicting_percent']} % |
| mentions of a fact never told | {text['mentions_of_untold_facts_percent']} % of {text['mentions_in_scenes']} | {real['mentions_of_untold_facts_percent']} % |
| stories of 3 or more friends in which at least 3 act | {text['of_these_with_3_or_more_acting']} of {text['stories_of_3_or_more_friends']} | {real['of_these_with_3_or_more_acting']} of {real['stories_of_3_or_more_friends']} |
| stories that end within {text['new_tokens']} tokens | {text['ended_within_600_tokens']} of {text['stories']} | {real['ended_within_600_tokens']} of {real['stories']} |

The aim was at most 5 % of repeating lists, at most 5 % of contradictions, and at least 3 friends acting
in every story; {aims(text)}.

The first of them:

> {sample}

## Data and training
All text comes from a small seeded grammar of our own (`recipe/words.py`, `recipe/grammar.py`); no text,
weights or tokenizer from elsewhere. Rows are long stories whose friends may stay away until late, or
several short documents down to a few facts. Friends are introduced in alphabetical order (not always in the
shortest documents), and in a scene each friend who is there has a turn: orders that a small model can keep.
{t['tokens'] / 1e6:.1f} million tokens, {t['steps']:,} steps, {t['seconds'] / 60:.0f} minutes on {t['threads']} threads of a CPU shared with
other work, in one run from start to end, seed {t['seed']}; Muon and AdamW, bf16 autocast. Recalled values weigh most in the
loss; from step 600 names and lists of names, and from step 1,600 lists and the choice of what to tell weigh
more as well (`recipe/train.py`). The curve is `training.jsonl`.

**Guided heads.** In the first {t['guide_steps']:,} steps a fading loss asked four heads to look at given
places: layer 0 head 0 at the owner's name, layer {t['layers'] - 2} heads 0, 1 and 2 at earlier mentions of the
recalled word, at the names that may come next, and at what is known of the subject. So retrieval is
concentrated in few heads by design: do not read this model's attention as that of a model that
found its own way. Nothing of this remains in the weights' format; it is a plain GPT-2.

## Limits
48 names, six kinds of facts, a few hundred words, present-day children's English. No knowledge and no
reasoning; it recalls. The figures are of one seed. Gender follows the name.

## Rebuild
`recipe/run.sh` (packages: `recipe/requirements.txt`, Python {e['versions']['python']}) makes tokenizer, model, figures and this
card; it resumes after an interruption. The weights depend on the seed and the settings, but other
processors or thread counts may round differently. This card is written by `recipe/card.py` from
`evaluation.json`; `card.py DIR --check` compares them.

Licence: that of the project, MIT OR Apache-2.0.
"""


def main(directory, check=None):
    directory = Path(directory)
    text = card(json.loads((directory / "evaluation.json").read_text()))
    if check:
        sys.exit(0 if (directory / "README.md").read_text() == text else "README.md differs from evaluation.json")
    (directory / "README.md").write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
