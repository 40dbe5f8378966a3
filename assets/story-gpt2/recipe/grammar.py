"""Writes stories: a `Story` is one document, written into a `Row`.

A story lists its friends in alphabetical order, tells each friend's facts once, in fixed orders,
and then has scenes in which facts are only recalled, until it ends.  In a scene each friend who is
there has a turn.  In long stories one or two friends stay away until late, so that recalling their
facts needs a long memory.
"""

import functools
import random
import re

from row import END_OF_TEXT, FACTS, LISTED, NAME, Row
from words import *


@functools.cache
def slots(form):
    """'{N} fed {P} {1}' -> ('{N}', ' fed', ' {P}', ' {1}')"""
    return tuple(p for p in re.split(r"( ?\{\w\})", form) if p)


class Story:
    """One document.  `size`: "long", "short" or "tiny"; `target`: tokens after which it ends."""

    def __init__(self, row, rng, names, size, target, held=False):
        self.row, self.rng, self.size, self.target = row, rng, size, target
        self.start = len(row)
        friends, attributes = {"long": ((4, 7), (3, 6)), "short": ((2, 5), (1, 4)), "tiny": ((1, 4), (1, 3))}[size]
        count = min(rng.randint(*friends), len(names))
        self.listed = rng.random() < {"long": 0.85, "short": 0.6, "tiny": 0.2}[size]
        self.names = rng.sample(names, count)
        if size != "tiny" or rng.random() < 0.5:
            self.names.sort()  # a fixed order: the model need not remember whom it has listed
        self.line_break = size == "long" or rng.random() < 0.7  # each scene on a line of its own
        self.at = {}  # name -> where it was introduced
        self.choose_facts(held, attributes)

    def choose_facts(self, held, attributes):
        rng = self.rng
        self.fact = {}
        shared = rng.sample(ATTRIBUTES, rng.randint(*attributes))
        if len(shared) * len(self.names) > 30:
            shared = shared[:4]
        alike = rng.random() < 0.6  # all friends have the same attributes
        for attribute in ATTRIBUTES:
            taken = set()
            colours = rng.sample(CLOTH_COLOURS if attribute == "wear" else COLOURS, len(self.names))
            for name, colour in zip(self.names, colours):
                free = [v for v in VALUES[attribute] if v not in taken]
                value = rng.choice([v for v in free if held_out(name, v) == held] or free)
                taken.add(value)
                self.fact[name, attribute] = (colour, value) if attribute in COLOURED else (value,)
        self.facts = {}  # name -> attributes, in the fixed order
        for name in self.names:
            own = shared if alike else rng.sample(ATTRIBUTES, rng.randint(1 if self.size == "tiny" else 2, max(2, len(shared))))
            self.facts[name] = [a for a in ATTRIBUTES if a in own]

    # Sentences

    def form(self, form, before, name, attribute=None, other=None, allowed=None, turn=False):
        """One clause; `before` goes in front of its first word; `allowed`: name -> position;
        `turn`: it is this friend's turn, so no other name can come first."""
        row = self.row
        allowed = allowed or {}
        for i, part in enumerate(slots(form)):
            slot = part.strip() if part.strip().startswith("{") else None
            space = before if i == 0 else part[: -len(slot)] if slot else ""
            if slot in ("{N}", "{M}"):
                who = name if slot == "{N}" else other
                others = [p for n, p in allowed.items() if n == name or not turn] if i == 0 else [
                    p for n, p in allowed.items() if n != row.last_name]
                row.name(who, space, others)
                if i == 0 and slot == "{N}" and attribute:
                    self.guide_facts(name)
            elif slot in ("{1}", "{2}"):
                n = int(slot[1]) - 1
                row.value(name, attribute, n, space + self.fact[name, attribute][n])
            elif slot == "{P}":
                row.add(space + ("her" if name in GIRLS else "his"))
            elif slot == "{C}":
                row.add(space + ("She" if name in GIRLS else "He"))
                self.guide_facts(name)
            else:
                clause = i == 0 or (i == 1 and slots(form)[0] in ("{N}", "{C}"))
                row.add((before if i == 0 else "") + part, chosen=clause and attribute is not None)

    def guide_facts(self, name):
        """The word that chooses what to tell of a friend looks at what is known of that friend."""
        known = [self.row.mentions.get((name, a, 0)) for a in self.facts[name]]
        self.row.guide(FACTS, len(self.row) - 1, [k[0] for k in known if k])

    def list_names(self, names, before, allowed):
        """Names in the order of introduction -> name -> position in this list."""
        at, order = {}, list(allowed)
        for i, name in enumerate(names):
            if i:
                self.row.add(" and" if i == len(names) - 1 else ",")
            later = order[order.index(names[i - 1]) + 1:] if i and order else order
            at[name] = len(self.row)
            self.row.name(name, before if i == 0 else " ", [allowed[n] for n in later], LISTED)
        return at

    def opening(self):
        one = len(self.names) == 1
        form = self.rng.choice(OPENINGS_ONE if one else OPENINGS)
        if not one:
            form = form.replace("{K}", COUNTS[len(self.names)])
        form = form.replace("{G}", "girl" if self.names[0] in GIRLS else "boy")
        head, tail = form.split("{L}")
        if head:
            self.row.add(head.rstrip())
        self.at = self.list_names(self.names, " " if head else "", {})
        self.row.add(tail)

    def groups_of_facts(self):
        """[(name, attributes told in one sentence)], friend by friend in the fixed order; tiny
        documents, which stand for what a person may type, also mix the order."""
        rng = self.rng
        joining = rng.choice([0.0, 0.4, 0.8])
        groups = []
        for name in self.names:
            left = list(self.facts[name])
            if self.size == "tiny" and rng.random() < 0.6:
                rng.shuffle(left)
            while left:
                count = 1 + (rng.random() < joining) + (rng.random() < joining / 3)
                groups.append((name, left[:count]))
                left = left[count:]
        if self.size == "tiny" and rng.random() < 0.3:
            rng.shuffle(groups)
        return groups

    def tell_facts(self, separator):
        rng, row = self.rng, self.row
        pronouns = rng.choice([0.0, 0.4, 0.8])
        first, previous = not self.listed, None
        for name, group in self.groups_of_facts():
            # The next subject is the friend just told of, or the next one of the list.
            near = {n: self.at[n] for n in (previous, name) if n in self.at}
            before = "" if first else separator if rng.random() < 0.9 else " "
            first = False
            if before == "\n":
                row.add("\n")
                before = ""
            subject = "{C}" if name == previous and rng.random() < pronouns else "{N}"
            if name not in self.at:
                self.at[name] = len(row)
                near = {}
            for i, attribute in enumerate(group):
                clause = rng.choice(STATEMENTS[attribute])
                if i == 0:
                    self.form(subject + " " + clause, before, name, attribute, allowed=near)
                else:
                    row.add(" and" if i == len(group) - 1 else ",")
                    self.form(clause, " ", name, attribute)
            row.add(".")
            previous = name

    def mention(self, cast, before, state, turn=None):
        """A sentence that recalls a fact of one of the cast (name -> position): of the friend whose turn it is."""
        rng, row = self.rng, self.row
        known = [(n, a) for n in ([turn] if turn else cast) for a in self.facts[n]]
        fresh = [k for k in known if k not in state["used"] and (k[0] != state["subject"] or rng.random() < 0.3)]
        pool = fresh if fresh and rng.random() < 0.9 else known
        pool = sorted(pool, key=lambda k: row.mentions[(*k, 0)][-1])  # oldest mention first
        u = rng.random()
        key = pool[0] if u < 0.5 else rng.choice(pool) if u < 0.8 else rng.choice(pool[-3:])
        name, attribute = key
        form = rng.choice(MENTIONS[attribute])
        others = [n for n in cast if n != name]
        while "{M}" in form and (turn or not others):
            form = rng.choice(MENTIONS[attribute])
        lead = rng.choice(LEADS)
        if lead:
            row.add(before + lead)
            before = " "
        if form.startswith("{N}") and row.last_name == name == state["subject"] and rng.random() < 0.35:
            form = form.replace("{N}", "{C}" if not lead else "{c}")
            if lead:
                form = form.replace("{c} ", "she " if name in GIRLS else "he ", 1)
                row.add(before + form.split()[0])
                self.guide_facts(name)
                form, before = form.split(" ", 1)[1], " "
        self.form(form, before, name, attribute, rng.choice(others) if others else None, cast, turn is not None)
        row.add(rng.choice(TAILS) + ".")
        state["used"].add(key)
        state["subject"] = name
        state["subjects"].add(name)

    def sentence(self, cast, before, state):
        rng = self.rng
        u = rng.random()
        if u < 0.08:
            self.row.add(before + rng.choice(FILLERS))
        elif u < 0.14 and len(cast) > 1:
            name, other = rng.sample(list(cast), 2)
            self.form(rng.choice(ACTIONS), before, name, None, other, cast)
            self.row.add(".")
        else:
            self.mention(cast, before, state)

    def scene(self, time, present, first=False):
        """A list of who is there, then each of them in turn, then anybody."""
        rng, row = self.rng, self.row
        count = min(len(present), rng.choice([3, 3, 4] if first else [1, 2, 2, 3, 3, 3, 4]))
        cast = set(present[:1]) | set(rng.sample(present[1:], count - 1)) if count > 1 else {rng.choice(present)}
        ordered = [n for n in self.names if n in cast]
        if self.line_break:
            row.add("\n")
        row.add(time if self.line_break else " " + time)
        at = self.list_names(ordered, " ", self.at)
        row.add(" " + rng.choice(MEETINGS if len(ordered) > 1 else ALONE) + " " + rng.choice(PLACES) + ".")
        state = {"used": set(), "subject": None, "subjects": set()}
        if len(ordered) > 1:
            for name in ordered:
                if rng.random() < 0.08:
                    row.add(" " + rng.choice(FILLERS))
                self.mention(at, " ", state, turn=name)
        for _ in range(rng.randint(2, 4) if len(ordered) == 1 else rng.randint(1, 4)):
            self.sentence(at, " ", state)
        return state["subjects"]

    def write(self):
        rng, row = self.rng, self.row
        separator = rng.choice([" ", " ", " ", "\n"])
        if self.listed:
            self.opening()
        self.tell_facts(separator)
        end = self.start + self.target
        many = self.listed and len(self.names) > 2
        if not many and (self.size == "tiny" or (self.size == "short" and rng.random() < 0.4)):  # no scenes
            state = {"used": set(), "subject": None, "subjects": set()}
            for _ in range(rng.randint(1, 8)):
                before = separator
                if before == "\n":
                    row.add("\n")
                    before = ""
                self.sentence(self.at, before, state)
            if rng.random() < 0.3:
                row.add(" The end.")
            return
        away = set()
        if self.size == "long" and len(self.names) > 3 and rng.random() < 0.9:
            away = set(rng.sample(self.names, 1 if len(self.names) < 5 else 2))
        back = self.start + rng.uniform(0.5, 0.75) * min(self.target, 1000)  # until then some stay away: long distances
        acted = {n: 0 for n in self.names}
        while len(row) < end - 110 or sum(map(bool, acted.values())) < min(3, len(self.names)):
            present = [n for n in self.names if n not in away or len(row) > back]
            rng.shuffle(present)
            # Who acted least comes first, mostly; so does a friend who has just come back.
            if rng.random() < 0.8:
                present.sort(key=acted.get)
            for name in sorted(self.scene(rng.choice(TIMES), present, first=not any(acted.values()))):
                acted[name] += 1
        present = rng.sample(self.names, len(self.names))
        self.scene(rng.choice(NIGHTS), present)
        if self.line_break:
            row.add("\n")
        row.add(("" if self.line_break else " ") + rng.choice(ENDINGS))


def long_row(encode, seed, length, held=False):
    """A row that is one long story, cut at `length`: what the held-out evaluation reads."""
    rng = random.Random(seed)
    row = Row(encode)
    row.add(END_OF_TEXT)
    Story(row, rng, NAMES, "long", 2 * length, held).write()
    return row


def training_row(encode, seed, length, held=False):
    """A row of one long story, or of several shorter ones with different friends."""
    rng = random.Random(seed)
    row = Row(encode)
    if rng.random() < 0.5:
        row.add(END_OF_TEXT)
    free = list(NAMES)
    long = length > 512 and rng.random() < 0.6
    while len(row) < length and len(free) > 3:
        size = "long" if long else rng.choice(["tiny", "short"])
        target = rng.randint(850, 1024) if long else rng.randint(120, min(420, length - 16))
        if long and rng.random() < 0.3:
            target = 2 * length  # does not end within the row
        story = Story(row, rng, free, size, target, held)
        story.write()
        row.add(END_OF_TEXT)
        free = [n for n in free if n not in story.names]
        long = False
    return row
