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

_LABELS = ("No", "Item", "Choice", "Answer", "Solution", "Ending", "Option")
_ENDS = (".", "\n\nNow:", " Say which.", "\n\nOne of them.")


class _Writer:
    def __init__(self, world: World, rng: random.Random):
        self.world = world
        self.rng = rng
        self.entities = [*world.things, *world.animals]
        self.words = sorted({v for entity in self.entities for v in entity.values.values()})
        self.words += [word for step in words.STEPS for word in step.split(" the ")]
        self.words += words.PEOPLE
        self.label_share = 0.0
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

    def recital(self) -> Document:
        """A few words said twice in the same order."""
        said = self.rng.sample(self.words, self.rng.randint(5, 12))
        return [(f"Again: {' '.join(said)}. {said[0]}", "".join(f" {word}" for word in said[1:]))]

    def call(self) -> Document:
        """A numbered list, and the numbers of its entries."""
        entries = self.rng.sample(self.words, self.rng.randint(2, 5))
        listed = self._numbered(entries)
        calls = self.rng.sample(range(len(entries)), len(entries))
        pairs = [(f" {entries[i]}", str(i + 1)) for i in calls]
        return [(f"{listed}.{pairs[0][0]}", pairs[0][1]), *((f",{g}", t) for g, t in pairs[1:])]

    def riddle(self) -> Document:
        """A multiple-choice question, answered by the option's words or its number."""
        question = BY_BENCHMARK[self.rng.choice(list(BY_BENCHMARK))](self.world, self.rng, False)
        if question.right in ("true", "false"):
            return self._yes_no(question)
        options = [question.right, *question.wrong]
        self.rng.shuffle(options)
        asked = f"{question.stem}{self._numbered(options)}{self.rng.choice(_ENDS)}"
        right = options.index(question.right) + 1
        draw = self.rng.random()
        if draw < self.label_share:
            return [(f"{asked} It is number", f"{right}")]
        if draw < (1 + self.label_share) / 2:
            return [(f"{asked} It is the", f" {question.right}"), (" number", f"{right}")]
        return [(f"{asked} It is the", f" {question.right}.")]

    def _numbered(self, options: list[str]) -> str:
        label = self.rng.choice(_LABELS)
        between = self.rng.choice((" ", " ", "\n\n"))
        return "".join(f"{between}{label}{n}: {o}" for n, o in enumerate(options, 1))

    def _yes_no(self, question: Question) -> Document:
        verdict, judged = ("yes", "right") if question.right == "true" else ("no", "wrong")
        return self.rng.choice(
            (
                [(question.stem, f" {verdict}.")],
                [(f"They ask: {question.stem} We say", f" {verdict}.")],
                [(f"Right or wrong, {question.stem}", f" {judged}.")],
            )
        )


_STATEMENTS = {
    "profile": 14,
    "note": 14,
    "mixed_facts": 10,
    "rule": 12,
    "deed": 12,
    "custom": 10,
    "comparison": 8,
}
# A lesson ends at a share of all documents and draws from a mix: facts, then riddles answered in
# words, then in numbers. In any other order a short training never learned to give a number.
_LESSONS = (
    (0.20, 0.0, {**_STATEMENTS, "recital": 76}),
    (0.35, 0.0, {**_STATEMENTS, "recital": 30, "call": 76, "riddle": 40}),
    (1.0, 0.6, {**_STATEMENTS, "recital": 5, "call": 20, "riddle": 200}),
)


def documents(world: World, count: int) -> list[Document]:
    """Return count short documents, in the order in which they are to be read."""
    rng = random.Random(f"{world.seed} text")
    writer = _Writer(world, rng)
    drawn: list[Document] = []
    for end, label_share, mix in _LESSONS:
        writer.label_share = label_share
        kinds = rng.choices(list(mix), list(mix.values()), k=round(end * count) - len(drawn))
        drawn += [getattr(writer, kind)() for kind in kinds]
    return drawn


def as_text(document: Document) -> str:
    """The document as it reads."""
    return "".join(given + told for given, told in document)
