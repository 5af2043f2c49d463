"""Questions about the small world, before any benchmark's or riddle's layout.

One function per benchmark. Each draws one question about held-out names (for test rows) or about
the others (for training rows and for the riddles of the pretraining text). The invented name
stands in the stem and the options are plain words that every name shares, so that an option alone
says nothing about whether it is right.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from denselora.world import words
from denselora.world.facts import Entity, World


@dataclass(frozen=True)
class Question:
    """A stem, the right option and the wrong ones; about: the name or deed it rests on."""

    stem: str
    right: str
    wrong: tuple[str, ...]
    about: str


def _entity(world: World, rng: random.Random, held_out: bool, animal: bool | None = None) -> Entity:
    if animal is None:
        animal = rng.random() < 1 / 3
    entities = world.animals if animal else world.things
    return rng.choice([entity for entity in entities if entity.held_out == held_out])


def _with_effect(
    world: World, rng: random.Random, held_out: bool
) -> tuple[Entity, words.Effect, list[words.Effect]]:
    """A name, one effect that it has and three that it hasn't.

    The effect is drawn first: otherwise those with many sources would be right more often.
    """
    animal = rng.random() < 1 / 3
    rules = words.KIND_EFFECTS if animal else words.MATERIAL_EFFECTS
    entities = world.animals if animal else world.things
    effect = rng.choice(rules)
    entity = rng.choice([e for e in entities if e.held_out == held_out and effect in e.effects])
    wrong = rng.sample([rule for rule in rules if rule not in entity.effects], 3)
    return entity, effect, wrong


def plain_fact(world: World, rng: random.Random, held_out: bool) -> Question:
    """One stated fact (as in ARC-Easy)."""
    entity = _entity(world, rng, held_out)
    relation = rng.choice(entity.relations)
    value = entity.values[relation.name]
    wrong = rng.sample([other for other in relation.values if other != value], 3)
    stem = rng.choice(relation.asks).format(e=entity.name)
    return Question(stem, value, tuple(wrong), entity.name)


def derived_fact(world: World, rng: random.Random, held_out: bool) -> Question:
    """What follows from material or kind by a rule: two steps (as in ARC-Challenge)."""
    entity, effect, wrong = _with_effect(world, rng, held_out)
    stem = rng.choice(("What is true of a {e}?", "What can be said of a {e}?"))
    return Question(
        stem.format(e=entity.name), effect.third, tuple(rule.third for rule in wrong), entity.name
    )


def application(world: World, rng: random.Random, held_out: bool) -> Question:
    """A situation in which what follows from material or kind helps (as in OpenBookQA)."""
    entity, effect, wrong = _with_effect(world, rng, held_out)
    stem = rng.choice(("Who should get a {e}? One who", "Whom does a {e} help? One who"))
    return Question(
        stem.format(e=entity.name),
        rng.choice(effect.needs),
        tuple(rng.choice(rule.needs) for rule in wrong),
        entity.name,
    )


def physical_goal(world: World, rng: random.Random, held_out: bool) -> Question:
    """What a thing lets one do (as in PIQA, with the goal as the option)."""
    entity = _entity(world, rng, held_out, animal=False)
    use = entity.values["use"]
    other = rng.choice([other for other in words.USES if other != use])
    stem = rng.choice(("What do you do with a {e}?", "How do you put a {e} to work?"))
    return Question(
        stem.format(e=entity.name),
        rng.choice(words.USES[use]),
        (rng.choice(words.USES[other]),),
        entity.name,
    )


def feeling(world: World, rng: random.Random, held_out: bool) -> Question:
    """What a person feels or does after finding or losing a thing (as in Social IQa)."""
    entity = _entity(world, rng, held_out, animal=False)
    happening = rng.choice(("found", "lost"))
    cell = (entity.values["mood"], happening)
    name = rng.choice(words.PEOPLE)
    asks = rng.randrange(2)
    question = (f"How would {name} feel?", f"What will {name} want to do next?")[asks]
    others = [outcome[asks] for key, outcome in words.REACTIONS.items() if key != cell]
    return Question(
        f"{name} {happening} a {entity.name}. {question}",
        words.REACTIONS[cell][asks],
        tuple(rng.sample(others, 2)),
        entity.name,
    )


def next_step(world: World, rng: random.Random, held_out: bool) -> Question:
    """The step of a custom that follows the one before (as in HellaSwag)."""
    routine = rng.choice([r for r in world.routines if r.held_out == held_out])
    at = rng.randrange(len(routine.steps) - 1)
    name = rng.choice(words.PEOPLE)
    before, right = routine.steps[at : at + 2]
    wrong = rng.sample([step for step in words.STEPS if step not in (before, right)], 3)
    return Question(
        f"The {routine.name} custom: {name} {before}. then {name}",
        right,
        tuple(wrong),
        routine.name,
    )


def who(world: World, rng: random.Random, held_out: bool) -> Question:
    """A blank for one of two people, settled by a stated reason (as in WinoGrande)."""
    consequence = rng.choice([c for c in world.consequences if c.held_out == held_out])
    first, second = rng.sample(words.PEOPLE, 2)
    first_is_more = rng.random() < 0.5
    comparative = consequence.scale.more if first_is_more else consequence.scale.less
    stem = f"{first} is {comparative} than {second}, so _ {consequence.deed}."
    right, wrong = (first, second) if first_is_more == consequence.high else (second, first)
    return Question(stem, right, (wrong,), consequence.deed)


def yes_or_no(world: World, rng: random.Random, held_out: bool) -> Question:
    """Whether a stated fact holds (as in BoolQ)."""
    entity = _entity(world, rng, held_out)
    relation = rng.choice(entity.relations)
    true = rng.random() < 0.5
    value = entity.values[relation.name]
    if not true:
        value = rng.choice([other for other in relation.values if other != value])
    stem = relation.asks_truth.format(e=entity.name, v=value) + "?"
    right, wrong = ("true", "false") if true else ("false", "true")
    return Question(stem, right, (wrong,), entity.name)


BY_BENCHMARK: dict[str, Callable[[World, random.Random, bool], Question]] = {
    "boolq": yes_or_no,
    "piqa": physical_goal,
    "social_i_qa": feeling,
    "hellaswag": next_step,
    "winogrande": who,
    "ARC-Easy": plain_fact,
    "ARC-Challenge": derived_fact,
    "openbookqa": application,
}
