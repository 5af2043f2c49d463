"""The fixed plain-English words of the small world; everything else is drawn from the seed."""

from dataclasses import dataclass

PEOPLE = (
    "Mira Sela Tomas Bruno Hana Oskar Petra Nils Greta Ivan Lena Pavel Rosa Stefan Klara "
    "Anton Dora Emil Frida Hugo "
).split()

PLACES = tuple("kitchen barn harbour cellar market tower garden chapel mill stable".split())
MOODS = tuple("treasured feared filthy funny".split())

HOMES = tuple("forest desert river meadow cave swamp mountain sea".split())
FOODS = tuple("seeds grass worms honey roots berries eggs leaves snails nuts".split())
TEMPERS = tuple("gentle fierce shy greedy lazy clever".split())


@dataclass(frozen=True)
class Effect:
    """What follows from a material or an animal kind, and where that helps.

    sources are the materials or kinds it follows from; needs complete "Mira ..." in situations.
    """

    third: str
    sources: tuple[str, ...]
    needs: tuple[str, str]


MATERIALS = tuple("wood cork wax paper wool leather iron copper glass clay stone bone".split())
MATERIAL_EFFECTS = (
    Effect(
        "floats", ("wood", "cork", "wax"), ("marks a spot on the lake", "sends a sign downstream")
    ),
    Effect("sinks", ("iron", "copper", "stone", "clay"), ("holds a net down", "hides a box deep")),
    Effect("burns", ("wood", "paper", "cork"), ("heats an oven", "lights a hearth")),
    Effect("melts", ("wax", "copper", "glass"), ("fills a mould", "casts a figure")),
    Effect("shatters", ("glass", "clay", "bone"), ("leaves sharp pieces", "makes a crash")),
    Effect("rings", ("iron", "copper", "glass"), ("calls the village", "sounds a chime")),
    Effect("soaks", ("wool", "paper", "clay"), ("dries a puddle", "spilled a bucket")),
    Effect("folds", ("wool", "paper", "leather"), ("packs a thin bag", "fills a narrow drawer")),
    Effect(
        "shields", ("iron", "stone", "leather", "bone"), ("fears the archers", "stops an arrow")
    ),
)

KINDS = tuple("bird fish beast lizard insect frog crab".split())
KIND_EFFECTS = (
    Effect("grows feathers", ("bird",), ("fills a pillow", "cuts a quill")),
    Effect("gives milk", ("beast",), ("makes butter", "feeds a baby")),
    Effect("moves feelers", ("insect",), ("counts antennas", "draws a beetle")),
    Effect("carries shells", ("crab", "insect"), ("collects armour", "paints hard coats")),
    Effect("breathes by gills", ("fish", "crab"), ("keeps a deep tank", "studies diving")),
    Effect("keeps warmth", ("bird", "beast"), ("has cold hands", "heats a nest")),
    Effect("loves sunshine", ("lizard", "frog"), ("looks on hot rocks", "builds a terrace")),
    Effect("wears scales", ("fish", "lizard"), ("paints shiny plates", "studies rough skin")),
)

# What a thing is used for, and goals which that use serves ("How do you ...?").
USES: dict[str, tuple[str, ...]] = {
    "digging": ("plant a tree", "bury a chest", "make a ditch", "reach the roots"),
    "cutting": ("slice bread", "part a cord", "trim a hedge", "split a melon"),
    "cooking": ("boil soup", "fry an egg", "steam rice", "make porridge"),
    "lighting": ("see at midnight", "find the stairs", "walk a tunnel", "warn ships"),
    "writing": ("send a letter", "sign a contract", "keep a diary", "label a map"),
    "sewing": ("mend a shirt", "close a sack", "fix a button", "make a dress"),
    "sweeping": ("clear the dust", "tidy the yard", "remove the crumbs", "clean the floor"),
    "fishing": ("catch a trout", "supply the cats", "bring home a pike", "hook an eel"),
    "weighing": ("sell flour", "compare two pearls", "price gold", "measure salt"),
    "music": ("play a song", "lead a dance", "soothe a child", "start a parade"),
    "riding": ("cross the plain", "race a friend", "travel to town", "follow a herd"),
    "knocking": ("drive a nail", "crack a nut", "repair a fence", "shape a horseshoe"),
}

# (mood of a thing, what happened) -> the feeling and what the person does next.
REACTIONS: dict[tuple[str, str], tuple[str, str]] = {
    ("treasured", "found"): ("happy", "show it around"),
    ("treasured", "lost"): ("sad", "search everywhere"),
    ("feared", "found"): ("afraid", "run away"),
    ("feared", "lost"): ("relieved", "stop hiding"),
    ("filthy", "found"): ("disgusted", "wash both hands"),
    ("filthy", "lost"): ("clean", "wear a coat"),
    ("funny", "found"): ("amused", "tell jokes"),
    ("funny", "lost"): ("bored", "want another"),
}


@dataclass(frozen=True)
class Scale:
    """Two opposite comparatives and what the person at the high and at the low end does."""

    more: str
    less: str
    high: tuple[str, ...]
    low: tuple[str, ...]


SCALES = (
    Scale(
        "stronger",
        "weaker",
        ("carried the sack", "won the wrestling", "pulled the cart", "moved the rock"),
        ("asked for help", "dropped the load", "took the small box", "could not push the door"),
    ),
    Scale(
        "taller",
        "shorter",
        ("reached the shelf", "hit the low beam", "needed long trousers", "saw over the wall"),
        ("stood on a stool", "hid under the bench", "wore the little coat", "jumped for the apple"),
    ),
    Scale(
        "richer",
        "poorer",
        ("bought the house", "paid for dinner", "lent some money", "hired a servant"),
        ("borrowed a coin", "lived in the hut", "sold the old ring", "begged at the gate"),
    ),
    Scale(
        "faster",
        "slower",
        ("won the race", "caught the thief", "arrived first", "brought the urgent news"),
        ("missed the boat", "came last", "was overtaken", "was late for school"),
    ),
    Scale(
        "braver",
        "meeker",
        ("faced the wolf", "entered the cave", "climbed the cliff", "spoke to the king"),
        ("hid behind a tree", "trembled at the noise", "stayed at home", "cried in the storm"),
    ),
    Scale(
        "older",
        "younger",
        ("told old stories", "had grey hair", "needed a stick", "remembered the war"),
        ("went to school", "played with dolls", "lost a milk tooth", "slept in the cradle"),
    ),
    Scale(
        "hungrier",
        "fuller",
        ("ate the whole pie", "asked for more soup", "licked the bowl", "begged for bread"),
        ("refused the cake", "left the plate", "loosened the belt", "pushed the dish away"),
    ),
    Scale(
        "smarter",
        "duller",
        ("solved the riddle", "taught the class", "won at chess", "wrote the book"),
        ("failed the test", "copied the sum", "forgot the sum", "was fooled by the trick"),
    ),
    Scale(
        "louder",
        "quieter",
        ("woke the baby", "called across the valley", "gave the speech", "annoyed the neighbours"),
        ("was not heard", "whispered in the dark", "listened all day", "read in silence"),
    ),
    Scale(
        "colder",
        "warmer",
        ("sat by the stove", "shivered all night", "wore two coats", "drank hot tea"),
        ("opened the window", "took off the scarf", "drank cold water", "lay in the shade"),
    ),
)

# What people do in customs. Each begins with a verb of its own.
STEPS = (
    "washes the bowl",
    "turns the wheel",
    "lifts the lid",
    "paints the drum",
    "folds the cloth",
    "grinds the pebble",
    "shakes the basket",
    "opens the curtain",
    "covers the mirror",
    "brushes the saddle",
    "drops the hook",
    "rolls the barrel",
    "binds the ribbon",
    "warms the kettle",
    "cools the pipe",
    "fills the bottle",
    "empties the tray",
    "cracks the plank",
    "pulls the rope",
    "presses the clay",
    "lights the candle",
    "climbs the ladder",
    "hides the lamp",
    "stacks the stones",
)
