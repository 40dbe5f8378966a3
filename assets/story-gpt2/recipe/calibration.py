"""Writes the text on which kvq caches find their levels: calibration.py OUT.txt

Stories of the training language from seeds of their own: neither those of training ("<seed> <step> <row>")
nor those held out ("held out <row>").  Needs no packages.
"""

import random
import re
import sys
from pathlib import Path

from grammar import Story
from row import END_OF_TEXT, Row
from words import NAMES

STORIES = 6
TOKENS = 700  # of a story, about; together no more than kvlab reads


def words(text):
    """The tokens of the story tokenizer, nearly: it has one for every word of the language."""
    return re.findall(r" ?\w+|\s|[^\w\s]", text)


def story(seed):
    row = Row(words)
    Story(row, random.Random(seed), NAMES, "long", TOKENS).write()
    return END_OF_TEXT + "".join(row.ids)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text("".join(story(f"calibration {i}") for i in range(STORIES)))
