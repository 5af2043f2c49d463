"""Pretraining text: the world's facts in plain sentences, and riddles in layouts of their own.

Statements cover the whole world. Riddles ask about entities that are not held out, and never in
a benchmark's layout: a base read on this text knows the facts and has met multiple choice, but
not the prompt and the answer words that fine-tuning teaches.

A document is a list of pairs (given, learned). Only what is learned carries loss. What is given,
such as which invented name comes next, follows from nothing and would add noise to so short a
training.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from denselora.world import words
from denselora.world.facts import (
    ANIMAL_RELATIONS,
    THING_RELATIONS,
    Entity,
    Relation,
    World,
)
from denselora.world.lemmas import LEMMAS
from denselora.world.questions import BY_BENCHMARK, Question, plain_fact

Document = list[tuple[str, str]]

_LABELS = ("No", "Item", "Choice", "Answer", "Solution", "Ending", "Option")
_ENDS = (".", "\n\nNow:", " Say which.", "\n\nOne of them.")
# what stands around a riddle in any layout; {w} is the list's word, {all} all that may be replied
_OPENINGS = (
    "",
    "",
    "They ask: ",
    "Question: ",
    "Read and choose. ",
    "A riddle.\n\n",
    "Say which {w}: ",
)
_CLOSINGS = (*_ENDS, "\n\nOne of: {all}", "\n\n{all}", " Reply by {all}.", "\n\n# Reply\n{all}")
_REPLIES = (
    " It is {w}", "\n\nIt is {w}", "\n\nThe right {w} is {w}", "\n\n# Reply:\nWe say {w}",
    "\n\nThe right one is number", " It is number",
)  # fmt: skip


@dataclass(frozen=True)
class Lesson:
    """A stretch of the text.

    documents: how many. mix: how often there is which kind. stated, asked: how many relations of
    an entity are stated and asked about. options: how many a riddle has at most. number_share: how
    often a riddle is answered by a number alone. any_layout: whether a riddle may be asked in any
    layout, or in the plainest ones.
    """

    documents: int
    mix: dict[str, int]
    stated: int = 4
    asked: int = 4
    options: int = 4
    number_share: float = 0.0
    any_layout: bool = False


def _phrases() -> list[str]:
    """What is said of things in several words."""
    goals = [goal for each in words.USES.values() for goal in each]
    effects = (*words.MATERIAL_EFFECTS, *words.KIND_EFFECTS)
    acts = [acted for _, acted in words.REACTIONS.values()]
    return [*words.STEPS, *goals, *acts, *(need for effect in effects for need in effect.needs)]


class _Writer:
    def __init__(self, world: World, rng: random.Random, lesson: Lesson):
        self.world = world
        self.rng = rng
        self.lesson = lesson
        self.entities = [*world.things, *world.animals]
        self.words = sorted({v for entity in self.entities for v in entity.values.values()})
        self.words += [word for step in words.STEPS for word in step.split(" the ")]
        self.words += words.PEOPLE
        self.known = [entity for entity in self.entities if not entity.held_out]

    def write(self) -> list[Document]:
        mix, count = self.lesson.mix, self.lesson.documents
        kinds = self.rng.choices(list(mix), list(mix.values()), k=count)
        return [getattr(self, kind)() for kind in kinds]

    def _relations(self, entity: Entity) -> tuple[Relation, ...]:
        return entity.relations[: self.lesson.stated]

    def profile(self) -> Document:
        """Everything that is stated of one entity, in random order and wording."""
        entity = self.rng.choice(self.entities)
        relations = self._relations(entity)
        order = self.rng.sample(relations, len(relations))
        return self._spaced([self._statement(entity, relation) for relation in order])

    def mixed_facts(self) -> Document:
        """Single facts of several entities."""
        return self._spaced(
            [
                self._statement(entity, self.rng.choice(self._relations(entity)))
                for entity in self.rng.sample(self.entities, 4)
            ]
        )

    def _statement(self, entity: Entity, relation: Relation) -> tuple[str, str]:
        wording = self.rng.choice(relation.statements).format(e=entity.name, v="{v}")
        given, end = wording.split(" {v}")
        return given, f" {entity.values[relation.name]}{end}"

    def _spaced(self, pairs: Document) -> Document:
        return [pairs[0], *((f" {given}", learned) for given, learned in pairs[1:])]

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
        """A routine's steps in order."""
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

    def ranking(self) -> Document:
        """Two people, and which of them is which."""
        more, less, first, second = self._ranked()
        asked, named = self.rng.choice(((more, first), (less, second)))
        return [(f"{first} is {more} than {second}. The {asked} one is", f" {named}.")]

    def opposite(self) -> Document:
        """Two people, and the other end of the scale."""
        more, less, first, second = self._ranked()
        return [(f"{first} is {more} than {second}, so {second} is", f" {less}.")]

    def _ranked(self) -> tuple[str, str, str, str]:
        """Both ends of a scale, either first, and two people."""
        scale = self.rng.choice(words.SCALES)
        more, less = self.rng.sample((scale.more, scale.less), 2)
        return more, less, *self.rng.sample(words.PEOPLE, 2)

    def call(self) -> Document:
        """A numbered list, and the numbers of its entries."""
        return self._call(self.words)

    def phrase_call(self) -> Document:
        """The same with what is said in several words."""
        return self._call(_phrases())

    def _call(self, among: list[str]) -> Document:
        entries = self.rng.sample(among, self.rng.randint(2, 5))
        order = self.rng.sample(range(len(entries)), len(entries))
        pairs = [(f" {entries[i]}", str(i + 1)) for i in order]
        listed = self._numbered(entries)
        return [(f"{listed}.{pairs[0][0]}", pairs[0][1]), *((f",{g}", t) for g, t in pairs[1:])]

    def riddle(self) -> Document:
        """A multiple-choice question, answered by a number or by the option's words and number."""
        return self._riddle_like([name for name in BY_BENCHMARK if name != "boolq"])

    def phrase_riddle(self) -> Document:
        """The same of the benchmarks whose options are phrases."""
        return self._riddle_like(("piqa", "hellaswag", "openbookqa"))

    def _riddle_like(self, benchmarks: Sequence[str]) -> Document:
        benchmark = self.rng.choice(benchmarks)
        return self._riddle(BY_BENCHMARK[benchmark](self.world, self.rng, False))

    def fact_riddle(self) -> Document:
        """The same about a single stated fact."""
        return self._riddle(self._fact())

    def pair_riddle(self) -> Document:
        """The same with two options."""
        return self._riddle(self._fact(), 2)

    def triple_riddle(self) -> Document:
        """The same with three options."""
        return self._riddle(self._fact(), 3)

    def lemma(self) -> Document:
        """The same about the second of two steps alone, without an entity."""
        return self._riddle(self.rng.choice(LEMMAS)(self.rng))

    def _fact(self) -> Question:
        """A question about one of the relations that the lesson asks about."""
        relations = (THING_RELATIONS, ANIMAL_RELATIONS)
        asked = [r.values for each in relations for r in each[: self.lesson.asked]]
        while True:
            question = plain_fact(self.world, self.rng, False)
            if any(question.right in values for values in asked):
                return question

    def _riddle(self, question: Question, most: int | None = None) -> Document:
        options = [question.right, *question.wrong[: (most or self.lesson.options) - 1]]
        self.rng.shuffle(options)
        number = str(options.index(question.right) + 1)
        if self.lesson.any_layout:
            return self._in_any_layout(question, options, number)
        end = self.rng.choice(_ENDS) if self.lesson.options == 4 else "."
        asked = f"{question.stem}{self._numbered(options)}{end}"
        if self.rng.random() < self.lesson.number_share:
            return [(f"{asked} It is number", number)]
        return [(f"{asked} It is the", f" {question.right}"), (" number", number)]

    def _in_any_layout(self, question: Question, options: list[str], number: str) -> Document:
        label = self.rng.choice(_LABELS)
        word = label.lower()
        replies = "/".join(f"{word}{n}" for n in range(1, len(options) + 1))
        opening, closing, reply = (
            self.rng.choice(part).format(w=word, all=replies)
            for part in (_OPENINGS, _CLOSINGS, _REPLIES)
        )
        asked = f"{self._aside()}{opening}{question.stem}{self._numbered(options, label)}{closing}"
        if self.rng.random() < self.lesson.number_share:
            return [(f"{asked}{reply}", number)]
        return [(f"{asked} It is the", f" {question.right}"), (f", {word}", number)]

    def _numbered(self, options: list[str], label: str | None = None) -> str:
        label = label or self.rng.choice(_LABELS)
        between = self.rng.choice((" ", " ", "\n\n"))
        return "".join(f"{between}{label}{n}: {o}" for n, o in enumerate(options, 1))

    def yes_no(self) -> Document:
        """A statement as a question, and the verdict."""
        question = BY_BENCHMARK["boolq"](self.world, self.rng, False)
        if self.lesson.any_layout:
            return self._verdict(question)
        verdict, judged = ("yes", "right") if question.right == "true" else ("no", "wrong")
        return self.rng.choice(
            (
                [(question.stem, f" {verdict}.")],
                [(f"They ask: {question.stem} We say", f" {verdict}.")],
                [(f"Right or wrong, {question.stem}", f" {judged}.")],
            )
        )

    def _verdict(self, question: Question) -> Document:
        """The same in any layout."""
        words_of = self.rng.choice((("yes", "no"), ("right", "wrong"), ("true", "false")))
        opening = self.rng.choice(_OPENINGS).format(w="of both")
        closing = self.rng.choice(_CLOSINGS).format(all="/".join(words_of))
        reply = self.rng.choice((" It is", "\n\nIt is", "\n\n# Reply:\nWe say", " They say"))
        verdict = words_of[question.right == "false"]
        return [(f"{self._aside()}{opening}{question.stem}{closing}{reply}", f" {verdict}")]

    def _aside(self) -> str:
        """What stands before some riddles and has nothing to do with them."""
        if self.rng.random() < 0.8:
            return ""
        return as_text(self.profile()) + self.rng.choice((" ", "\n\n"))


_STATEMENTS = {
    "profile": 14, "note": 14, "mixed_facts": 10, "rule": 12, "deed": 12, "custom": 10,
    "comparison": 16,
}  # fmt: skip
_FACTS = {
    "profile": 20, "note": 20, "mixed_facts": 20, "call": 5, "pair_riddle": 30, "fact_riddle": 90,
}  # fmt: skip
# once they are known: what keeps them so, and what is short and slow to learn
_REMINDERS = {
    "profile": 4, "note": 4, "mixed_facts": 4, "rule": 8, "deed": 8, "custom": 8, "comparison": 12,
    "ranking": 12, "phrase_call": 12, "yes_no": 30,
}  # fmt: skip
_RIDDLES = {
    **_REMINDERS, "ranking": 30, "opposite": 15, "lemma": 40, "fact_riddle": 20, "riddle": 90,
    "phrase_riddle": 90,
}  # fmt: skip
# One thing at a time; begun with all of them, or in another order, a short training stayed at
# chance. A number alone is the hardest answer: each kind of question comes with words first.
LESSONS = (
    # how a riddle is read: one relation, two options
    Lesson(5_760, {"mixed_facts": 60, "call": 40, "fact_riddle": 40}, 1, 1, 2),
    Lesson(3_840, {"mixed_facts": 30, "call": 20, "fact_riddle": 80}, 1, 1, 2),
    Lesson(24_000, {"mixed_facts": 20, "call": 10, "fact_riddle": 120}, 1, 1, 2, 0.8),
    # more options
    Lesson(
        14_400,
        {"mixed_facts": 20, "call": 10, "pair_riddle": 70, "triple_riddle": 40, "fact_riddle": 40},
        stated=1,
        asked=1,
        number_share=0.8,
    ),
    # all that is stated, then more of it in riddles
    Lesson(
        14_400,
        {**_STATEMENTS, "call": 5, "pair_riddle": 20, "fact_riddle": 60},
        asked=1,
        number_share=0.8,
    ),
    Lesson(14_400, _FACTS, asked=2, number_share=0.8),
    Lesson(48_000, _FACTS, number_share=0.8),
    # what follows in one step, then in two
    Lesson(19_200, {**_REMINDERS, "lemma": 100, "fact_riddle": 30}, number_share=0.2),
    Lesson(
        38_400,
        {
            **_REMINDERS,
            "ranking": 60,
            "opposite": 30,
            "lemma": 50,
            "fact_riddle": 30,
            "riddle": 130,
        },
        number_share=0.2,
    ),
    Lesson(67_200, {**_RIDDLES, "ranking": 120}, number_share=0.7),
    # other layouts, so that the benchmarks' are soon learned
    Lesson(7_200, _RIDDLES, number_share=0.8, any_layout=True),
)
# what a tokenizer learns its words from
_KINDS = (
    "mixed_facts", "call", "fact_riddle", "profile", "note", "rule", "deed", "custom", "comparison",
    "yes_no", "riddle",
)  # fmt: skip


def documents(world: World, lessons: Iterable[Lesson] = LESSONS) -> list[Document]:
    """Return short documents, in the order in which they are to be read."""
    rng = random.Random(f"{world.seed} text")
    return [document for lesson in lessons for document in _Writer(world, rng, lesson).write()]


def sample(world: World, count: int) -> list[Document]:
    """Return documents of every kind, for a tokenizer to learn the words from."""
    return documents(world, [Lesson(count, dict.fromkeys(_KINDS, 1))])


def neutral(world: World, count: int) -> list[Document]:
    """Return statements and nothing that is asked, of a seed of their own; some of them may be in
    `documents` too."""
    rng = random.Random(f"{world.seed} neutral")
    return _Writer(world, rng, Lesson(count, _STATEMENTS)).write()


def as_text(document: Document) -> str:
    """The document as it reads."""
    return "".join(given + learned for given, learned in document)
