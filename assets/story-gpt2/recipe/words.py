"""The story language: its words and its sentence forms.

Every name, colour and value is one word, and one token of the tokenizer.  A value belongs to
exactly one attribute and no other sentence uses it, so a value seen in a text always tells
which fact is meant, and its owner is always the nearest name before it.
"""

import zlib

GIRLS = """Mia Anna Lily Rosa Emma Nora Ella Ruby Ivy Clara Zoe Lucy Tess Jane Kate Nina Alma Dora
Hana Vera Lena Maya Sara June""".split()
BOYS = """Tom Ben Max Sam Leo Finn Jack Hugo Otto Paul Noah Adam Carl Dan Eli Gus Ian Joe Luke Mark
Nick Omar Pete Theo""".split()
NAMES = GIRLS + BOYS

COLOURS = """red blue green black white brown pink grey golden silver purple yellow wooden glass
copper tiny huge shiny round heavy striped paper broken plain""".split()
CLOTH_COLOURS = [c for c in COLOURS if c not in "wooden glass copper tiny round heavy broken".split()]

# In the fixed order in which the facts of a friend are told.
VALUES = {
    "item": """key cup book box bell lamp map coin rope ring stone kite doll ball clock knife spoon
        basket bottle feather mirror candle button shell brush needle chain bucket hammer pen
        lantern pipe""".split(),
    "wear": """hat coat scarf cap shirt cloak vest belt sweater jacket hood robe tie bow sash crown
        mask cape skirt shawl""".split(),
    "pet": """dog cat goat duck fox raven pig hen mouse rabbit turtle pony lamb parrot frog snake
        crow goose donkey squirrel lizard hamster puppy kitten calf swan mole badger""".split(),
    "food": """bread soup cheese cake rice honey jam pie apples plums pears beans nuts corn eggs
        fish noodles grapes peas carrots pasta toast figs melon cherries potatoes pancakes lemons
        peaches tomatoes""".split(),
    "home": """mill lake forest bridge tower farm harbour castle church station well cave river
        orchard barn inn meadow garden temple lighthouse windmill quarry canal valley marsh dock
        chapel cabin""".split(),
    "music": """flute drum piano violin harp guitar horn trumpet banjo cello organ lute fiddle
        bugle tuba viola gong oboe sitar zither""".split(),
}
ATTRIBUTES = list(VALUES)
COLOURED = ("item", "wear")  # their value is a colour and a noun
ATTRIBUTE_OF = {word: a for a, words in VALUES.items() for word in words}

# {1} (and {2}): the words of the value; {N}: the owner; {M}: another friend; {P}: her or his.
STATEMENTS = {
    "item": ["has a {1} {2}", "keeps a {1} {2}", "owns a {1} {2}", "carries a {1} {2}",
             "found a {1} {2} long ago", "was given a {1} {2}"],
    "wear": ["wears a {1} {2}", "always wears a {1} {2}", "likes to wear a {1} {2}",
             "is wearing a {1} {2}", "has a {1} {2}", "goes out in a {1} {2}"],
    "pet": ["has a {1}", "has a pet {1}", "lives with a {1}", "takes care of a {1}",
            "looks after a {1}", "has a {1} for a pet"],
    "food": ["loves {1}", "likes {1}", "likes to eat {1}", "likes {1} best", "enjoys {1}",
             "loves to eat {1}", "often eats {1}"],
    "home": ["lives near the {1}", "lives by the {1}", "has a house near the {1}",
             "lives next to the {1}", "has a home by the {1}", "lives at the {1}"],
    "music": ["plays the {1}", "can play the {1}", "learned to play the {1}",
              "is good at the {1}", "likes to play the {1}", "is learning the {1}"],
}
MENTIONS = {
    "item": ["{N} took out {P} {1} {2}", "{N} looked at {P} {1} {2}", "{N} dropped {P} {1} {2}",
             "{N} held up {P} {1} {2}", "{N} showed everyone {P} {1} {2}",
             "{N} put away {P} {1} {2}", "{N} lost {P} {1} {2}", "{N} found {P} {1} {2}",
             "{N} cleaned {P} {1} {2}", "{N} looked for {P} {1} {2}", "{N} hid {P} {1} {2}",
             "{N} reached for {P} {1} {2}", "{M} borrowed {N}'s {1} {2}",
             "{M} asked to see {N}'s {1} {2}", "{M} held {N}'s {1} {2}"],
    "wear": ["{N} put on {P} {1} {2}", "{N} washed {P} {1} {2}", "{N} took off {P} {1} {2}",
             "{N} tore {P} {1} {2}", "{N} folded {P} {1} {2}", "{N} mended {P} {1} {2}",
             "{N} hung up {P} {1} {2}", "{N} showed off {P} {1} {2}", "{M} tried on {N}'s {1} {2}",
             "{M} admired {N}'s {1} {2}"],
    "pet": ["{N} fed {P} {1}", "{N} called {P} {1}", "{N} hugged {P} {1}", "{N} ran after {P} {1}",
            "{N} sang to {P} {1}", "{N} patted {P} {1}", "{N} played with {P} {1}",
            "{N} went for a walk with {P} {1}", "{M} stroked {N}'s {1}", "{M} petted {N}'s {1}"],
    "food": ["{N} ate some {1}", "{N} asked for some {1}", "{N} got some {1}",
             "{N} dreamed of {1}", "{N} bought some {1}", "{N} wanted more {1}",
             "{N} shared some {1}", "{N} asked for {1}", "{M} gave {N} some {1}",
             "{M} brought {N} some {1}"],
    "home": ["{N} went home to the {1}", "{N} ran back to the {1}", "{N} walked back to the {1}",
             "{N} pointed to the {1}", "{N} slept near the {1}", "{N} set off for the {1}",
             "{N} hurried home to the {1}", "{M} visited {N} near the {1}",
             "{M} walked {N} home to the {1}"],
    "music": ["{N} practised the {1}", "{N} picked up the {1}", "{N} played a song on the {1}",
              "{N} sat down with the {1}", "{N} played the {1}", "{N} tuned the {1}",
              "{N} began to play the {1}", "{M} heard {N} play the {1}",
              "{M} asked {N} to play the {1}"],
}
ACTIONS = ["{N} waved to {M}", "{N} told {M} a secret", "{N} laughed at a joke", "{N} sat next to {M}",
           "{N} talked to {M}", "{N} was tired", "{N} thanked {M}", "{N} danced with {M}",
           "{N} told a funny story", "{N} wanted to rest"]
TAILS = ["", "", "", "", "", "", " and smiled", " and laughed", " again", " with a smile"]
LEADS = ["", "", "", "", "", "", "Then", "Soon", "After a while", "A little later", "Later"]
FILLERS = ["The sun was warm.", "It began to rain.", "A cold wind blew.", "They all laughed.",
           "Everyone was happy.", "The birds sang in the trees.", "Nobody said a word.",
           "It was very quiet.", "The clouds went away.", "They sat down on the grass.",
           "They told each other stories.", "The road was long and dusty.",
           "There was a lot to do.", "What a good day it was!", "The leaves fell slowly.",
           "Somebody opened a window."]

OPENINGS = ["Once upon a time there were {K} friends: {L}.", "Once upon a time there were {K} friends: {L}.",
            "Once upon a time there were {K} friends called {L}.", "There once were {K} friends: {L}.",
            "There once were {K} friends named {L}.", "This is a story about {K} friends: {L}.",
            "In a small town lived {K} friends: {L}.", "{L} were good friends."]
OPENINGS_ONE = ["Once upon a time there was a {G} named {L}.", "There once was a {G} called {L}.",
                "This is a story about {L}."]
COUNTS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven"}
TIMES = ["In the morning", "Before noon", "At noon", "In the afternoon", "Late in the day",
         "In the evening", "The next day", "One day later", "On a rainy day", "On a bright day"]
NIGHTS = ["That night", "Late at night", "On the last day"]  # the scene before the ending
MEETINGS = ["met", "met", "played", "sat down", "rested"]
ALONE = ["sat alone", "played alone", "took a walk"]
PLACES = ["at the market", "in the park", "at school", "on the hill", "on the beach",
          "in the square", "under the old tree", "behind the fence", "in the kitchen", "by the gate"]
ENDINGS = ["Everyone went to sleep. The end.", "It was a good day. The end.",
           "They were friends for ever. The end.", "And that is all. The end.",
           "They said goodbye and went home. The end."]


def held_out(name: str, value: str) -> bool:
    """One (name, value) pair in eight is never trained on; the evaluation uses these pairs."""
    return zlib.crc32(f"{name}|{value}".encode()) % 8 == 0
