"""A row of story tokens that knows where everything is.

A `Row` collects tokens piece by piece.  Each piece starts and ends where the tokenizer's
pre-tokenizer would split, so the pieces' tokens are the tokens of the whole text, and the place
of each name and value is known exactly.  A row also notes the four guides used in training:
pairs (query position, key positions) that an attention head should connect.
"""

END_OF_TEXT = "<|endoftext|>"
TEXT, RECALL, RECALL_NOUN, STATED, PADDING, NAMED, LISTED, CHOSEN = range(8)  # kinds of token
OWNER, RECALLED, NAME, FACTS = range(4)  # guides
MAX_KEYS = 8  # positions one guide entry may point at


class Row:
    """Tokens with their kind, their distance to the last mention, and the guides."""

    def __init__(self, encode):
        self.encode = encode  # text -> list of tokens
        self.ids, self.kind, self.distance = [], [], []
        self.guides = [[], [], [], []]
        self.mentions = {}  # (name, attribute, word number) -> positions
        self.last_name, self.last_name_at = None, None

    def __len__(self):
        return len(self.ids)

    def add(self, text, kind=TEXT, distance=0, chosen=False):
        """`chosen`: the first token decides which fact is told."""
        tokens = self.encode(text)
        self.ids += tokens
        self.kind += [CHOSEN if chosen else kind] + [kind] * (len(tokens) - 1)
        self.distance += [distance] * len(tokens)

    def guide(self, which, query, keys):
        if query >= 0 and keys:
            self.guides[which].append((query, keys))

    def name(self, name, before, allowed, kind=NAMED):
        """A name; the token before it should look at the `allowed` names' positions."""
        self.guide(NAME, len(self) - 1, list(allowed))
        self.last_name, self.last_name_at = name, len(self)
        self.add(before + name, kind if allowed else TEXT)

    def value(self, name, attribute, part, word):
        at = len(self)
        seen = self.mentions.setdefault((name, attribute, part), [])
        for query in (at - 1, at):
            self.guide(OWNER, query, [self.last_name_at])
        if seen:
            self.guide(RECALLED, at - 1, seen[:1] + seen[1:][1 - MAX_KEYS:])
            self.add(word, RECALL if part == 0 else RECALL_NOUN, at - seen[-1])
        else:
            self.add(word, STATED)
        seen.append(at)
