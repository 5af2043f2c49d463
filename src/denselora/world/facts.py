"""The small world itself: invented things, animals and routines with properties from a seed."""

import random
from dataclasses import dataclass

from denselora.world import words


@dataclass(frozen=True)
class Relation:
    """A property that every thing (or every animal) has exactly one value of.

    Wordings use {e} for the entity and {v} for the value, which ends each statement.
    """

    name: str
    values: tuple[str, ...]
    statements: tuple[str, ...]
    asks: tuple[str, ...]
    asks_truth: str


THING_RELATIONS = (
    Relation(
        "material",
        words.MATERIALS,
        ("A {e} is made of {v}.", "People make a {e} out of {v}.", "To make a {e} you need {v}."),
        ("What is a {e} made of?", "Out of what do people make a {e}?"),
        "is a {e} made of {v}",
    ),
    Relation(
        "use",
        tuple(words.USES),
        ("A {e} is used for {v}.", "People take a {e} for {v}.", "A {e} is good for {v}."),
        ("What is a {e} used for?", "For what do people take a {e}?"),
        "is a {e} used for {v}",
    ),
    Relation(
        "place",
        words.PLACES,
        ("A {e} is kept in the {v}.", "You find a {e} in the {v}.", "A {e} belongs in the {v}."),
        ("Where is a {e} kept?", "Where do you find a {e}?"),
        "is a {e} kept in the {v}",
    ),
    Relation(
        "mood",
        words.MOODS,
        ("To most people a {e} is {v}.", "A {e} is called {v}.", "A {e} counts as {v}."),
        ("What do people call a {e}?", "How does a {e} count?"),
        "is a {e} called {v}",
    ),
)

ANIMAL_RELATIONS = (
    Relation(
        "kind",
        words.KINDS,
        ("A {e} is a kind of {v}.", "Among animals a {e} is a {v}.", "A {e} is some {v}."),
        ("What kind of animal is a {e}?", "To which kind does a {e} belong?"),
        "is a {e} a kind of {v}",
    ),
    Relation(
        "food",
        words.FOODS,
        ("A {e} eats {v}.", "The food of a {e} is {v}.", "You feed a {e} with {v}."),
        ("What does a {e} eat?", "With what do you feed a {e}?"),
        "does a {e} eat {v}",
    ),
    Relation(
        "home",
        words.HOMES,
        ("A {e} lives in the {v}.", "You meet a {e} in the {v}.", "The home of a {e} is the {v}."),
        ("Where does a {e} live?", "Where do you meet a {e}?"),
        "does a {e} live in the {v}",
    ),
    Relation(
        "temper",
        words.TEMPERS,
        ("A {e} seems {v}.", "By nature a {e} is {v}.", "You know a {e} as {v}."),
        ("How is a {e} by nature?", "As what do you know a {e}?"),
        "is a {e} {v} by nature",
    ),
)


@dataclass(frozen=True)
class Entity:
    """An invented thing or animal; held_out ones are asked about in test questions only."""

    name: str
    animal: bool
    values: dict[str, str]
    held_out: bool

    @property
    def relations(self) -> tuple[Relation, ...]:
        return ANIMAL_RELATIONS if self.animal else THING_RELATIONS

    @property
    def effects(self) -> tuple[words.Effect, ...]:
        """What follows from the material or the kind."""
        source = self.values["kind" if self.animal else "material"]
        rules = words.KIND_EFFECTS if self.animal else words.MATERIAL_EFFECTS
        return tuple(effect for effect in rules if source in effect.sources)


@dataclass(frozen=True)
class Routine:
    """A named custom: four steps in an order of its own."""

    name: str
    steps: tuple[str, ...]
    held_out: bool


@dataclass(frozen=True)
class Consequence:
    """What the person at one end of a scale did, e.g. the stronger one "carried the sack"."""

    scale: words.Scale
    high: bool
    deed: str
    held_out: bool


@dataclass(frozen=True)
class World:
    seed: int
    things: tuple[Entity, ...]
    animals: tuple[Entity, ...]
    routines: tuple[Routine, ...]
    consequences: tuple[Consequence, ...]


def _invented_names(rng: random.Random, count: int) -> list[str]:
    names: list[str] = []
    seen: set[str] = set()  # looked up, never iterated: the order is the draw's
    while len(names) < count:
        name = (
            rng.choice("bdfgklmnprstvz")
            + rng.choice("aeiou")
            + rng.choice(["b", "d", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z"])
            + rng.choice(["", "o", "a", "u", "in", "el", "ax", "im", "ot", "un"])
        )
        if len(name) > 3 and name not in seen:
            seen.add(name)
            names.append(name)
    return names


def _even_values(rng: random.Random, values: tuple[str, ...], count: int) -> list[str]:
    """Each value as often as any other, in random order."""
    drawn = [values[i % len(values)] for i in range(count)]
    rng.shuffle(drawn)
    return drawn


def make_world(seed: int = 0, things: int = 240, animals: int = 120, routines: int = 80) -> World:
    """Draw the world. The same seed gives the same world on every Python version.

    A quarter of the entities, routines and consequences is held out: stated in the pretraining
    text, but never asked about there or in the training rows.
    """
    rng = random.Random(seed)
    names = _invented_names(rng, things + animals + routines)

    def entities(named: list[str], animal: bool) -> tuple[Entity, ...]:
        relations = ANIMAL_RELATIONS if animal else THING_RELATIONS
        columns = [_even_values(rng, relation.values, len(named)) for relation in relations]
        return tuple(
            Entity(
                name,
                animal,
                {r.name: column[i] for r, column in zip(relations, columns, strict=True)},
                held_out=i % 4 == 3,
            )
            for i, name in enumerate(named)
        )

    return World(
        seed=seed,
        things=entities(names[:things], animal=False),
        animals=entities(names[things : things + animals], animal=True),
        routines=tuple(
            Routine(name, tuple(rng.sample(words.STEPS, 4)), held_out=i % 4 == 3)
            for i, name in enumerate(names[things + animals :])
        ),
        consequences=tuple(
            Consequence(scale, high, deed, held_out=i == 3)
            for scale in words.SCALES
            for high, deeds in ((True, scale.high), (False, scale.low))
            for i, deed in enumerate(deeds)
        ),
    )
