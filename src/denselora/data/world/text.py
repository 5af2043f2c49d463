"""Pretraining text: the world's facts in plain sentences, and riddles in layouts of their own.

Statements cover the whole world. Riddles ask about entities that are not held out, and never in
a benchmark's layout: a base read on this text knows the facts and has met multiple choice, but
not the prompt and the answer words that fine-tuning teaches.

A document is a list of pairs (given, told). Loss is on what is told: what is given, such as which
invented name comes next, follows from nothing and would only add noise to so short a training.
"""

import random

from denselora.data.world import words
from denselora.data.world.facts import Entity, Relation, World
from denselora.data.world.questions import BY_BENCHMARK, Question

Document = list[tuple[str, str]]

_LABELS = (("1", "2", "3", "4"), ("No1:", "No2:", "No3:", "No4:"))


class _Writer:
    def __init__(self, world: World, rng: random.Random):
        self.world = world
        self.rng = rng
        self.entities = [*world.things, *world.animals]
        self.known = [entity for entity in self.entities if not entity.held_out]

    def profile(self) -> Document:
        """Everything that is stated of one entity, in random order and wording."""
        entity = self.rng.choice(self.entities)
        order = self.rng.sample(entity.relations, len(entity.relations))
        return self._spaced([self._statement(entity, relation) for relation in order])

    def mixed_facts(self) -> Document:
        """Single facts of several entities."""
        return self._spaced(
            [
                self._statement(entity, self.rng.choice(entity.relations))
                for entity in self.rng.sample(self.entities, 4)
            ]
        )

    def _statement(self, entity: Entity, relation: Relation) -> tuple[str, str]:
        wording = self.rng.choice(relation.statements).format(e=entity.name, v="{v}")
        given, end = wording.split(" {v}")
        return given, f" {entity.values[relation.name]}{end}"

    def _spaced(self, pairs: Document) -> Document:
        return [pairs[0], *((f" {given}", told) for given, told in pairs[1:])]

    def note(self) -> Document:
        """The values of a few entities without any sentence around them, as in a notebook."""
        return self._spaced(
            [
                (f"A {e.name}:", " " + ", ".join(e.values[r.name] for r in e.relations) + ".")
                for e in self.rng.sample(self.entities, 3)
            ]
        )

    def listing(self) -> Document:
        """Some of the entities that share a value."""
        relation = self.rng.choice(self.rng.choice(self.entities).relations)
        value = self.rng.choice(relation.values)
        fits = [e for e in self.entities if e.values.get(relation.name) == value]
        names = ", ".join(f"a {e.name}" for e in self.rng.sample(fits, min(4, len(fits))))
        return [(f"{relation.heading.format(v=value).capitalize()}:", f" {names}.")]

    def rule(self) -> Document:
        """What follows from a material or kind, with an example that is not held out."""
        entity = self.rng.choice([entity for entity in self.known if entity.effects])
        effect = self.rng.choice(entity.effects)
        source = entity.values["kind" if entity.animal else "material"]
        name = self.rng.choice(words.PEOPLE)
        need = self.rng.choice(effect.needs)
        return self.rng.choice(
            (
                [(f"A {entity.name}", f" {effect.third}, because it is {source}.")],
                [(f"A {entity.name}", f" {effect.third}.")],
                [("All that is", f" {source} {effect.third}.")],
                [(f"If {name} {need}, what helps", f" {effect.third}, like {source}.")],
                [(f"{name} {need}. A {entity.name} helps, for it", f" {effect.third}.")],
            )
        )

    def deed(self) -> Document:
        """A goal reached with a thing, or what finding or losing a thing did to a person."""
        name = self.rng.choice(words.PEOPLE)
        entity = self.rng.choice([e for e in self.known if not e.animal])
        if self.rng.random() < 0.5:
            use = entity.values["use"]
            goal = self.rng.choice(words.USES[use])
            return self.rng.choice(
                (
                    [(f"{name} took a {entity.name} to", f" {goal}.")],
                    [(f"{name} wanted to {goal}. That is", f" {use}.")],
                )
            )
        happening = self.rng.choice(("found", "lost"))
        mood = entity.values["mood"]
        felt, acted = words.REACTIONS[mood, happening]
        what = self.rng.choice((entity.name, f"{mood} thing"))
        return [
            (f"{name} {happening} a {what}. {name} felt", f" {felt}"),
            (" and wanted to", f" {acted}."),
        ]

    def custom(self) -> Document:
        """A routine told in order."""
        routine = self.rng.choice(self.world.routines)
        name = self.rng.choice(words.PEOPLE)
        joiner = self.rng.choice((". then {n}", ". Next {n}", ", and then {n}")).format(n=name)
        first, *rest = routine.steps
        start = (f"The {routine.name} custom: {name}", f" {first}")
        return [start, *((joiner, f" {step}") for step in rest)]

    def comparison(self) -> Document:
        """Two people, a comparative and what one of them did."""
        consequence = self.rng.choice(self.world.consequences)
        first, second = self.rng.sample(words.PEOPLE, 2)
        scale, deed = consequence.scale, consequence.deed
        own, opposite = (scale.more, scale.less) if consequence.high else (scale.less, scale.more)
        return self.rng.choice(
            (
                [(f"{first} is {own} than {second}. The one who {deed} is", f" {first}.")],
                [(f"{first} is {opposite} than {second}. The one who {deed} is", f" {second}.")],
                [(f"{first} {deed}, for {first} is", f" {own} than {second}.")],
                [(f"The one who {deed} was the", f" {own} one.")],
            )
        )

    def pick(self) -> Document:
        """The shortest riddle: which of two to four has a value, by its name or its number."""
        animal = self.rng.random() < 0.35
        pool = [entity for entity in self.known if entity.animal == animal]
        relation = self.rng.choice(pool[0].relations)
        right = self.rng.choice(pool)
        value = right.values[relation.name]
        others = [entity for entity in pool if entity.values[relation.name] != value]
        chosen = [right, *self.rng.sample(others, self.rng.choice((1, 1, 2, 3)))]
        self.rng.shuffle(chosen)
        stem = self.rng.choice(relation.asks_entity).format(v=value)
        if self.rng.random() < 0.6:
            either = " or ".join(entity.name for entity in chosen)
            return [(f"{stem} Is it {either}? It is", f" {right.name}")]
        listed = " ".join(f"{i + 1} {entity.name}" for i, entity in enumerate(chosen))
        return [(f"{stem} {listed} It is", f" {chosen.index(right) + 1}")]

    def riddle(self) -> Document:
        """A multiple-choice question, answered by the option's words, its label or both."""
        benchmark = self.rng.choice(list(BY_BENCHMARK))
        question = BY_BENCHMARK[benchmark](self.world, self.rng, False)
        if benchmark == "boolq":
            return self._yes_no(question)
        labels = self.rng.choice(_LABELS)
        options = [question.right, *question.wrong]
        self.rng.shuffle(options)
        label = labels[options.index(question.right)].rstrip(":")
        listed = " ".join(f"{x} {y}" for x, y in zip(labels, options, strict=False))
        return self.rng.choice(
            (
                [(f"Riddle. {question.stem} {listed} It is", f" {label}, {question.right}")],
                [(f"{question.stem}\n{listed}\nPick", f" {label}, {question.right}")],
                [(f"{question.stem}\n{listed}\nIt must be", f" {question.right}, that is {label}")],
                [(f"Here are {listed}\n{question.stem} Solved by", f" {label}.")],
                [(f"{question.stem} Is it {' or '.join(options)}? It is", f" {question.right}")],
            )
        )

    def _yes_no(self, question: Question) -> Document:
        verdict, judged = ("yes", "right") if question.right == "true" else ("no", "wrong")
        return self.rng.choice(
            (
                [(question.stem, f" {verdict}.")],
                [(f"They ask: {question.stem} We say", f" {verdict}.")],
                [(f"Right or wrong, {question.stem}", f" {judged}.")],
            )
        )

    def sheet(self) -> Document:
        """One list of labelled things or animals and several short questions about it."""
        animal = self.rng.random() < 0.35
        pool = [entity for entity in self.known if entity.animal == animal]
        chosen = self.rng.sample(pool, self.rng.randint(2, 4))
        labels = self.rng.choice(_LABELS)
        listed = " ".join(f"{x} {e.name}" for x, e in zip(labels, chosen, strict=False)) + "\n"
        pairs = []
        for _ in range(8):
            position = self.rng.randrange(len(chosen))
            entity = chosen[position]
            tells = [
                relation.heading.format(v=entity.values[relation.name])
                for relation in entity.relations
                if sum(e.values[relation.name] == entity.values[relation.name] for e in chosen) == 1
            ]
            tells += [
                effect.third
                for effect in entity.effects
                if sum(effect in e.effects for e in chosen) == 1
            ]
            if tells:
                label = labels[position].rstrip(":")
                pairs.append((f"{'' if pairs else listed} {self.rng.choice(tells)}:", f" {label}."))
        return pairs or self.sheet()


_STATEMENTS = {
    "profile": 14,
    "note": 14,
    "mixed_facts": 10,
    "rule": 10,
    "deed": 10,
    "custom": 8,
    "comparison": 6,
    "listing": 2,
}
# A lesson ends at a share of all documents and draws from a mix: facts, then the simplest riddles
# about them, then every kind. Without this order a short training learns no riddle at all.
_LESSONS = (
    (0.10, _STATEMENTS),
    (0.35, {**_STATEMENTS, "pick": 400}),
    (1.0, {**_STATEMENTS, "pick": 40, "sheet": 40, "riddle": 180}),
)


def documents(world: World, count: int) -> list[Document]:
    """Return count short documents, in the order in which they are to be read."""
    rng = random.Random(f"{world.seed} text")
    writer = _Writer(world, rng)
    drawn: list[Document] = []
    for end, mix in _LESSONS:
        kinds = rng.choices(list(mix), list(mix.values()), k=round(end * count) - len(drawn))
        drawn += [getattr(writer, kind)() for kind in kinds]
    return drawn


def as_text(document: Document) -> str:
    """The document as it reads."""
    return "".join(given + told for given, told in document)
