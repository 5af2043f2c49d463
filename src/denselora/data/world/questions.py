"""Questions about the small world, before any benchmark's or riddle's layout.

One function per benchmark. Each draws one question about held-out entities (for test rows) or
about the others (for training rows and for the riddles of the pretraining text).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from denselora.data.world import words
from denselora.data.world.facts import Entity, World


@dataclass(frozen=True)
class Question:
    """A stem, the right option and the wrong ones; about names the entities it rests on."""

    stem: str
    right: str
    wrong: tuple[str, ...]
    about: tuple[str, ...]


def _pool(world: World, held_out: bool, animal: bool) -> list[Entity]:
    entities = world.animals if animal else world.things
    return [entity for entity in entities if entity.held_out == held_out]


def _either(world: World, rng: random.Random, held_out: bool) -> list[Entity]:
    return _pool(world, held_out, animal=rng.random() < 0.35)


def _pick(
    rng: random.Random, pool: list[Entity], fits: Callable[[Entity], bool], wrong: int
) -> tuple[Entity, list[Entity]]:
    """One entity that fits and some that don't."""
    return (
        rng.choice([entity for entity in pool if fits(entity)]),
        rng.sample([entity for entity in pool if not fits(entity)], wrong),
    )


def _of_entities(stem: str, right: Entity, wrong: list[Entity], say: str = "{e}") -> Question:
    options = [say.format(e=entity.name) for entity in (right, *wrong)]
    return Question(
        stem, options[0], tuple(options[1:]), tuple(entity.name for entity in (right, *wrong))
    )


def plain_fact(world: World, rng: random.Random, held_out: bool) -> Question:
    """One stated fact, asked for by the entity or by the value (as in ARC-Easy)."""
    pool = _either(world, rng, held_out)
    relation = rng.choice(pool[0].relations)
    if rng.random() < 0.5:
        entity = rng.choice(pool)
        value = entity.values[relation.name]
        others = [other for other in relation.values if other != value]
        stem = rng.choice(relation.asks_value).format(e=entity.name)
        return Question(stem, value, tuple(rng.sample(others, 3)), (entity.name,))
    value = rng.choice(pool).values[relation.name]
    right, wrong = _pick(rng, pool, lambda entity: entity.values[relation.name] == value, 3)
    return _of_entities(rng.choice(relation.asks_entity).format(v=value), right, wrong)


def derived_fact(world: World, rng: random.Random, held_out: bool) -> Question:
    """A fact that follows from material or kind by a rule: two steps (as in ARC-Challenge)."""
    pool = _either(world, rng, held_out)
    effect = rng.choice(words.KIND_EFFECTS if pool[0].animal else words.MATERIAL_EFFECTS)
    right, wrong = _pick(rng, pool, lambda entity: effect in entity.effects, 3)
    noun = "animal" if right.animal else "thing"
    stem = rng.choice((f"Which {noun} {effect.third}?", f"Which one of these {effect.third}?"))
    return _of_entities(stem, right, wrong)


def application(world: World, rng: random.Random, held_out: bool) -> Question:
    """A situation in which a rule's effect helps (as in OpenBookQA)."""
    pool = _either(world, rng, held_out)
    effect = rng.choice(words.KIND_EFFECTS if pool[0].animal else words.MATERIAL_EFFECTS)
    right, wrong = _pick(rng, pool, lambda entity: effect in entity.effects, 3)
    name = rng.choice(words.PEOPLE)
    wish = "look for" if right.animal else "take"
    stem = f"{name} {rng.choice(effect.needs)}. What should {name} {wish}?"
    return _of_entities(stem, right, wrong)


def physical_goal(world: World, rng: random.Random, held_out: bool) -> Question:
    """A goal and the thing whose use serves it (as in PIQA)."""
    use = rng.choice(list(words.USES))
    pool = _pool(world, held_out, animal=False)
    right, wrong = _pick(rng, pool, lambda entity: entity.values["use"] == use, 1)
    stem = f"How do you {rng.choice(words.USES[use])}?"
    way = rng.choice(("A {e} will do.", "The {e} is right.", "Any {e} helps."))
    return _of_entities(stem, right, wrong, way)


def feeling(world: World, rng: random.Random, held_out: bool) -> Question:
    """What a person feels or does after finding or losing a thing (as in Social IQa)."""
    entity = rng.choice(_pool(world, held_out, animal=False))
    happening = rng.choice(("found", "lost"))
    cell = (entity.values["mood"], happening)
    name = rng.choice(words.PEOPLE)
    asks = rng.randrange(2)
    stem = (
        f"{name} {happening} a {entity.name}. "
        + (f"How would {name} feel?", f"What will {name} want to do next?")[asks]
    )
    others = [outcome[asks] for key, outcome in words.REACTIONS.items() if key != cell]
    return Question(stem, words.REACTIONS[cell][asks], tuple(rng.sample(others, 2)), (entity.name,))


def next_step(world: World, rng: random.Random, held_out: bool) -> Question:
    """The step of a custom that follows the one just told (as in HellaSwag)."""
    routines = [routine for routine in world.routines if routine.held_out == held_out]
    routine, *others = rng.sample(routines, 4)
    at = rng.randrange(len(routine.steps) - 1)
    name = rng.choice(words.PEOPLE)
    stem = f"The {routine.name} custom: {name} {routine.steps[at]}. then {name}"
    wrong = tuple(f"{rng.choice(other.steps)}." for other in others)
    return Question(stem, f"{routine.steps[at + 1]}.", wrong, (routine.name,))


def who_or_which(world: World, rng: random.Random, held_out: bool) -> Question:
    """A blank for one of two people or things, settled by a stated reason (as in WinoGrande)."""
    if rng.random() < 0.5:
        pool = _pool(world, held_out, animal=False)
        effect = rng.choice(words.MATERIAL_EFFECTS)
        right, (wrong,) = _pick(rng, pool, lambda entity: effect in entity.effects, 1)
        first, second = rng.sample((right.name, wrong.name), 2)
        stem = f"Of the {first} and the {second}, only the _ {effect.third}."
        return _of_entities(stem, right, [wrong])
    consequence = rng.choice([c for c in world.consequences if c.held_out == held_out])
    first, second = rng.sample(words.PEOPLE, 2)
    first_is_more = rng.random() < 0.5
    comparative = consequence.scale.more if first_is_more else consequence.scale.less
    stem = f"{first} is {comparative} than {second}, so _ {consequence.deed}."
    right, wrong = (first, second) if first_is_more == consequence.high else (second, first)
    return Question(stem, right, (wrong,), (consequence.deed,))


def yes_or_no(world: World, rng: random.Random, held_out: bool) -> Question:
    """Whether a stated or a derived fact holds (as in BoolQ)."""
    pool = _either(world, rng, held_out)
    true = rng.random() < 0.5
    if rng.random() < 0.3:
        effect = rng.choice(words.KIND_EFFECTS if pool[0].animal else words.MATERIAL_EFFECTS)
        entity = rng.choice([entity for entity in pool if (effect in entity.effects) == true])
        stem = f"does a {entity.name} {effect.base}?"
    else:
        entity = rng.choice(pool)
        relation = rng.choice(entity.relations)
        value = entity.values[relation.name]
        if not true:
            value = rng.choice([other for other in relation.values if other != value])
        stem = relation.asks_truth.format(e=entity.name, v=value) + "?"
    right, wrong = ("true", "false") if true else ("false", "true")
    return Question(stem, right, (wrong,), (entity.name,))


BY_BENCHMARK: dict[str, Callable[[World, random.Random, bool], Question]] = {
    "boolq": yes_or_no,
    "piqa": physical_goal,
    "social_i_qa": feeling,
    "hellaswag": next_step,
    "winogrande": who_or_which,
    "ARC-Easy": plain_fact,
    "ARC-Challenge": derived_fact,
    "openbookqa": application,
}
