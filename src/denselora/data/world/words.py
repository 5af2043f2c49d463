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

    third and base are the verb phrase in its two forms ("floats on water", "float on water");
    sources are the materials or kinds it follows from; needs complete "Mira ..." in situations.
    """

    third: str
    base: str
    sources: tuple[str, ...]
    needs: tuple[str, str]


MATERIALS = tuple("wood cork wax paper wool leather iron copper glass clay stone bone".split())
MATERIAL_EFFECTS = (
    Effect(
        "floats on water",
        "float on water",
        ("wood", "cork", "wax"),
        ("must mark a spot on top of the lake", "wants to send a sign down the river"),
    ),
    Effect(
        "sinks in water",
        "sink in water",
        ("iron", "copper", "stone", "clay"),
        ("wants to hold a net at the bottom of the lake", "must hide something deep in the pond"),
    ),
    Effect(
        "burns in a fire",
        "burn in a fire",
        ("wood", "paper", "cork"),
        ("has an oven to heat and nothing to feed it", "needs flames on a cold evening"),
    ),
    Effect(
        "melts in the heat",
        "melt in the heat",
        ("wax", "copper", "glass"),
        ("wants to pour something into a mould", "needs a hot liquid to cast a figure"),
    ),
    Effect(
        "breaks when it falls",
        "break when it falls",
        ("glass", "clay", "bone"),
        ("must leave sharp pieces on the floor", "wants to make a crash by dropping something"),
    ),
    Effect(
        "rings when it is struck",
        "ring when it is struck",
        ("iron", "copper", "glass"),
        ("wants a bell to call the village", "needs a clear sound for the dance"),
    ),
    Effect(
        "soaks up water",
        "soak up water",
        ("wool", "paper", "clay"),
        ("has to dry a puddle on the floor", "spilled a bucket and must clean up"),
    ),
    Effect(
        "folds without harm",
        "fold without harm",
        ("wool", "paper", "leather"),
        ("has to pack something into a thin bag", "needs something to lay double on a shelf"),
    ),
    Effect(
        "stops an arrow",
        "stop an arrow",
        ("iron", "stone", "leather", "bone"),
        ("fears the archers and needs a shield", "must stand in front of a target"),
    ),
)

KINDS = tuple("bird fish beast lizard insect frog crab".split())
KIND_EFFECTS = (
    Effect(
        "grows feathers",
        "grow feathers",
        ("bird",),
        ("wants to fill a pillow softly", "needs quills to write a letter"),
    ),
    Effect(
        "gives milk to its young",
        "give milk to its young",
        ("beast",),
        ("wants to make butter and cheese", "has a thirsty baby to feed"),
    ),
    Effect(
        "walks on six legs",
        "walk on six legs",
        ("insect",),
        ("counts feet and hopes for six", "draws a creature with three pairs of feet"),
    ),
    Effect(
        "carries a hard shell",
        "carry a hard shell",
        ("crab", "insect"),
        ("collects hard coats of creatures", "wants to see a creature in armour"),
    ),
    Effect(
        "breathes under water",
        "breathe under water",
        ("fish", "crab"),
        ("fills a deep tank that has no air", "wants a pet for the bottom of a pond"),
    ),
    Effect(
        "has warm blood",
        "have warm blood",
        ("bird", "beast"),
        ("has cold hands and wants a warm creature", "seeks a body that heats a winter nest"),
    ),
    Effect(
        "warms itself in the sun",
        "warm itself in the sun",
        ("lizard", "frog"),
        ("looks for creatures on hot rocks", "studies bodies that cool down at night"),
    ),
    Effect(
        "is covered with scales",
        "be covered with scales",
        ("fish", "lizard"),
        ("studies skin made of small plates", "paints a creature with shiny plates"),
    ),
)

# What a thing is used for, and goals which that use serves ("How do you ...?").
USES: dict[str, tuple[str, ...]] = {
    "digging": ("plant a tree", "bury a box", "make a ditch", "reach the roots"),
    "cutting": ("slice bread", "part a rope", "trim a hedge", "split a melon"),
    "cooking": ("boil soup", "fry an egg", "heat milk", "make porridge"),
    "lighting": ("see in the dark", "read at night", "walk through a tunnel", "warn ships"),
    "writing": ("send a letter", "sign a contract", "keep a diary", "mark a map"),
    "sewing": ("mend a shirt", "close a torn sack", "fix a button", "make a dress"),
    "sweeping": ("clear the dust", "tidy the yard", "remove the crumbs", "clean the steps"),
    "fishing": ("catch a trout", "fill a net", "feed the cats", "bring home a pike"),
    "weighing": ("sell flour fairly", "compare two stones", "price gold", "measure salt"),
    "music": ("play a song", "lead a dance", "sing a child to sleep", "start a parade"),
    "riding": ("cross the plain", "race a friend", "travel to town", "follow a herd"),
    "knocking": ("drive a nail", "crack a nut", "fix a fence", "shape hot metal"),
}

# (mood of a thing, what happened) -> the feeling and what the person does next.
REACTIONS: dict[tuple[str, str], tuple[str, str]] = {
    ("treasured", "found"): ("happy", "show it to everyone"),
    ("treasured", "lost"): ("sad", "search for it everywhere"),
    ("feared", "found"): ("afraid", "run far away"),
    ("feared", "lost"): ("relieved", "come out of hiding"),
    ("filthy", "found"): ("disgusted", "wash both hands"),
    ("filthy", "lost"): ("clean", "put on a fresh coat"),
    ("funny", "found"): ("amused", "tell jokes about it"),
    ("funny", "lost"): ("bored", "look for another joke"),
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
        ("failed the test", "copied the answer", "forgot the sum", "was fooled by the trick"),
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
