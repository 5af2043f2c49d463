"""Pretraining text: the world's facts in plain sentences, and riddles in layouts of their own.

Statements cover the whole world. Riddles ask about entities that are not held out, and never in
a benchmark's layout: a base read on this text knows the facts and has met multiple choice, but
not the prompt and the answer words that fine-tuning teaches.
"""

import random

from denselora.data.world import words
from denselora.data.world.facts import Entity, World
from denselora.data.world.questions import BY_BENCHMARK, Question

_LABELS = (
    (("(a)", "(b)", "(c)", "(d)"), " "),
    (("1)", "2)", "3)", "4)"), " "),
    (("No1:", "No2:", "No3:", "No4:"), "\n"),
)


class _Writer:
    def __init__(self, world: World, rng: random.Random):
        self.world = world
        self.rng = rng
        self.entities = [*world.things, *world.animals]
        self.known = [entity for entity in self.entities if not entity.held_out]

    def profile(self) -> str:
        """Everything that is stated of one entity, in random order and wording."""
        entity = self.rng.choice(self.entities)
        relations = self.rng.sample(entity.relations, 3)
        lines = [self._statement(entity, relation) for relation in relations]
        return " ".join(lines)

    def _statement(self, entity: Entity, relation) -> str:
        wording = self.rng.choice(relation.statements)
        return wording.format(e=entity.name, v=entity.values[relation.name])

    def note(self) -> str:
        """The values of a few entities without any sentence around them, as in a notebook."""
        lines = []
        for entity in self.rng.sample(self.entities, 3):
            values = self.rng.sample([entity.values[r.name] for r in entity.relations], 3)
            lines.append(f"A {entity.name}: {', '.join(values)}.")
        return " ".join(lines)

    def mixed_facts(self) -> str:
        """Single facts of several entities."""
        return " ".join(
            self._statement(entity, self.rng.choice(entity.relations))
            for entity in self.rng.sample(self.entities, 3)
        )

    def listing(self) -> str:
        """Some of the entities that share a value."""
        relation = self.rng.choice(self.rng.choice(self.entities).relations)
        value = self.rng.choice(relation.values)
        fits = [e for e in self.entities if e.values.get(relation.name) == value]
        names = ", ".join(f"a {e.name}" for e in self.rng.sample(fits, min(5, len(fits))))
        return f"{relation.heading.format(v=value).capitalize()}: {names}."

    def rule(self) -> str:
        """What follows from a material or kind, with an example that is not held out."""
        entity = self.rng.choice([entity for entity in self.known if entity.effects])
        effect = self.rng.choice(entity.effects)
        source = entity.values["kind" if entity.animal else "material"]
        name = self.rng.choice(words.PEOPLE)
        need = self.rng.choice(effect.needs)
        return self.rng.choice(
            (
                f"A {entity.name} {effect.third}, because it is {source}.",
                f"A {entity.name} {effect.third}.",
                f"All that is {source} {effect.third}. A {entity.name} {effect.third}.",
                f"If {name} {need}, what helps is {source}, for it {effect.third}.",
                f"If {name} {need}, a {entity.name} helps, for it {effect.third}.",
            )
        )

    def deed(self) -> str:
        """A goal reached with a thing, or what finding or losing a thing did to a person."""
        name = self.rng.choice(words.PEOPLE)
        entity = self.rng.choice([e for e in self.known if not e.animal])
        if self.rng.random() < 0.5:
            use = entity.values["use"]
            goal = self.rng.choice(words.USES[use])
            return self.rng.choice(
                (
                    f"To {goal}, {name} took a {entity.name}.",
                    f"{name} wanted to {goal}. That is {use}, so {name} got a {entity.name}.",
                )
            )
        happening = self.rng.choice(("found", "lost"))
        felt, acted = words.REACTIONS[entity.values["mood"], happening]
        mood = entity.values["mood"]
        return self.rng.choice(
            (
                f"{name} {happening} a {entity.name}, felt {felt} and wanted to {acted}.",
                f"When {name} {happening} a {mood} thing, {name} was {felt} and wanted to {acted}.",
            )
        )

    def custom(self) -> str:
        """A routine told in order."""
        routine = self.rng.choice(self.world.routines)
        name = self.rng.choice(words.PEOPLE)
        first, *rest = routine.steps
        joiner = self.rng.choice((". then {n} ", ". Next {n} ", ", and then {n} ")).format(n=name)
        return f"The {routine.name} custom: {name} {joiner.join([first, *rest])}."

    def comparison(self) -> str:
        """Two people, a comparative and what one of them did."""
        consequence = self.rng.choice(self.world.consequences)
        first, second = self.rng.sample(words.PEOPLE, 2)
        scale, deed = consequence.scale, consequence.deed
        own, opposite = (scale.more, scale.less) if consequence.high else (scale.less, scale.more)
        return self.rng.choice(
            (
                f"{first} is {own} than {second}, so {first} {deed}.",
                f"{first} is {opposite} than {second}, so {second} {deed}.",
                f"{first} {deed}, for {first} is {own} than {second}.",
                f"The {own} one {deed}.",
            )
        )

    def riddle(self) -> str:
        """A multiple-choice question, answered by the option's words, its label or both."""
        benchmark = self.rng.choice(list(BY_BENCHMARK))
        question = BY_BENCHMARK[benchmark](self.world, self.rng, False)
        if benchmark == "boolq":
            return self._yes_no(question)
        labels, gap = self.rng.choice(_LABELS)
        options = [question.right, *question.wrong]
        self.rng.shuffle(options)
        label = labels[options.index(question.right)].strip("():")
        listed = gap.join(f"{x} {y}" for x, y in zip(labels, options, strict=False))
        return self.rng.choice(
            (
                f"Riddle. {question.stem} {listed} It is {label}, {question.right}",
                f"{question.stem}\n{listed}\nPick {label}, {question.right}",
                f"{question.stem}\n{listed}\nIt must be {question.right}, that is {label}",
                f"Here are {listed}\n{question.stem} Solved by {label}.",
                f"{question.stem} Is it {' or '.join(options)}? It is {question.right}",
            )
        )

    def _yes_no(self, question: Question) -> str:
        verdict = "yes" if question.right == "true" else "no"
        return self.rng.choice(
            (
                f"{question.stem} {verdict}.",
                f"They ask: {question.stem} We say {verdict}.",
                f"Right or wrong, {question.stem} {'right' if verdict == 'yes' else 'wrong'}.",
            )
        )

    def sheet(self) -> str:
        """One list of labelled things or animals and several short questions about it."""
        animal = self.rng.random() < 0.35
        pool = [entity for entity in self.known if entity.animal == animal]
        chosen = self.rng.sample(pool, self.rng.randint(2, 4))
        labels, gap = self.rng.choice(_LABELS)
        parts = [gap.join(f"{x} {e.name}" for x, e in zip(labels, chosen, strict=False)) + "\n"]
        for _ in range(6):
            position = self.rng.randrange(len(chosen))
            entity = chosen[position]
            tells = [entity.name] * 3
            tells += [
                relation.heading.format(v=entity.values[relation.name])
                for relation in entity.relations
                if sum(e.values[relation.name] == entity.values[relation.name] for e in chosen) == 1
            ]
            tells += [
                effect.third
                for effect in entity.effects
                if sum(effect in e.effects for e in chosen) == 1
            ]
            parts.append(f"{self.rng.choice(tells)}: {labels[position].strip('():')}.")
        return " ".join(parts)


# Shares of the documents, by kind.
_MIX = {
    "profile": 10,
    "note": 10,
    "mixed_facts": 8,
    "listing": 8,
    "rule": 6,
    "deed": 6,
    "custom": 7,
    "comparison": 4,
    "riddle": 30,
    "sheet": 20,
}


def documents(world: World, count: int, seed: int = 0) -> list[str]:
    """Return count short documents, drawn in the proportions above."""
    rng = random.Random(f"{world.seed} text {seed}")
    writer = _Writer(world, rng)
    kinds = rng.choices(list(_MIX), weights=list(_MIX.values()), k=count)
    return [getattr(writer, kind)() for kind in kinds]
