"""Measures of a free-running story: are its lists, its facts, its cast and its end in order?

The language makes this simple (see words.py): a value belongs to one attribute, and its owner is
the nearest name before it.
"""

import re

from words import ATTRIBUTE_OF, COLOURED, NAMES

# Tokens since a recalled fact was last mentioned.
BUCKETS = [(0, 100), (100, 300), (300, 600), (600, 900)]

_NAME = "(?:" + "|".join(NAMES) + ")"
_LIST = re.compile(rf"{_NAME}(?:, {_NAME})*(?: and|,) {_NAME}\b")
_SUBJECT = re.compile(rf"(?:^|[.!?:]\s+)(?:(?:Then|Soon|After a while|A little later|Later) )?({_NAME}) (?!and\b|met\b|sat alone\b|played alone\b|took a walk\b)(?!,)")
_WORD = re.compile(r"[A-Za-z]+")


def lists(text):
    """The lists of two or more names."""
    return [re.findall(_NAME, m.group()) for m in _LIST.finditer(text)]


def claims(text):
    """(place, owner, attribute, value) of each value told in the text; a value is its words."""
    out, owner, before = [], None, None
    for match in _WORD.finditer(text):
        word = match.group()
        if word in NAMES:
            owner = word
        attribute = ATTRIBUTE_OF.get(word)
        if attribute and owner:
            value = f"{before} {word}" if attribute in COLOURED else word
            out.append((match.start(), owner, attribute, value))
        before = word
    return out


def measure(text, ended):
    """One story -> counts.  Scenes start at the first line that is about a time of day."""
    from words import NIGHTS, TIMES

    starts = [m.start() for t in TIMES + NIGHTS for m in re.finditer(rf"\b{t} {_NAME}", text)]
    scenes = min(starts, default=len(text))
    opening = lists(text[:200].split(".")[0])
    told, repeats, contradictions, unknown, mentions = {}, 0, 0, 0, 0
    for place, owner, attribute, value in claims(text):
        key = owner, attribute
        if place >= scenes:
            mentions += 1
            unknown += key not in told  # recalls a fact that was never told
        if key in told:
            repeats += 1
            contradictions += told[key] != value
        else:
            told[key] = value
    named = lists(text)
    cast = set(opening[0]) if opening else {owner for _, owner, _, _ in claims(text[:scenes])}
    return {
        "friends": len(cast),
        "lists": len(named),
        "lists_repeating": sum(len(set(n)) < len(n) for n in named),
        "lists_naming_strangers": sum(not cast.issuperset(n) for n in named),
        "restated": repeats,
        "contradictions": contradictions,
        "mentions_in_scenes": mentions,
        "mentions_of_untold_facts": unknown,
        "acting": len(set(_SUBJECT.findall(text[scenes:]))),
        "ended": bool(ended),
    }
