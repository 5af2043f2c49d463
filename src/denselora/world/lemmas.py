"""Questions about one step of a derived fact: about a use, a mood, a material, not about a name."""

import random

from denselora.world import words
from denselora.world.questions import Question


def of_use(rng: random.Random) -> Question:
    """What a use lets one do."""
    use, *others = rng.sample(list(words.USES), 4)
    wrong = tuple(rng.choice(words.USES[other]) for other in others)
    return Question(f"What is {use} for?", rng.choice(words.USES[use]), wrong, use)


def of_mood(rng: random.Random) -> Question:
    """What a person feels or does about a thing of a mood."""
    cells = rng.sample(list(words.REACTIONS), 3)
    (mood, happening), asks = cells[0], rng.randrange(2)
    name = rng.choice(words.PEOPLE)
    question = (f"How would {name} feel?", f"What will {name} want to do next?")[asks]
    right, *wrong = (words.REACTIONS[cell][asks] for cell in cells)
    return Question(f"{name} {happening} a {mood} thing. {question}", right, tuple(wrong), mood)


def of_source(rng: random.Random) -> Question:
    """What follows from a material or kind."""
    rules = rng.choice((words.MATERIAL_EFFECTS, words.KIND_EFFECTS))
    effect = rng.choice(rules)
    source = rng.choice(effect.sources)
    wrong = rng.sample([rule.third for rule in rules if source not in rule.sources], 3)
    return Question(f"What is true of {source}?", effect.third, tuple(wrong), source)


def of_effect(rng: random.Random) -> Question:
    """Whom an effect helps."""
    rules = rng.choice((words.MATERIAL_EFFECTS, words.KIND_EFFECTS))
    effect, *others = rng.sample(rules, 4)
    wrong = tuple(rng.choice(other.needs) for other in others)
    return Question(
        f"What {effect.third} helps one who", rng.choice(effect.needs), wrong, effect.third
    )


def of_scale(rng: random.Random) -> Question:
    """Which of two people is the one at an end of a scale."""
    scale = rng.choice(words.SCALES)
    stated, other = rng.sample((scale.more, scale.less), 2)
    first, second = rng.sample(words.PEOPLE, 2)
    asked, right, wrong = rng.choice(((stated, first, second), (other, second, first)))
    return Question(
        f"{first} is {stated} than {second}, so _ is the {asked} one.", right, (wrong,), asked
    )


LEMMAS = (of_use, of_mood, of_source, of_effect, of_scale)
