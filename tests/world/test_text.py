import re
from dataclasses import replace

from denselora.world.benchmarks import make_benchmarks
from denselora.world.facts import ANIMAL_RELATIONS, THING_RELATIONS, make_world
from denselora.world.text import LESSONS, Lesson, as_text, documents, sample

WORLD = make_world()
TEXT = [as_text(document) for document in sample(WORLD, 20_000)]


def is_riddle(document):
    return "?" in document or "It is" in document


def names(held_out):
    entities = [e.name for e in (*WORLD.things, *WORLD.animals) if e.held_out == held_out]
    return entities + [r.name for r in WORLD.routines if r.held_out == held_out]


def test_riddles_never_name_what_the_test_asks_about():
    riddles = "\n".join(document for document in TEXT if is_riddle(document))
    words = {word.strip(".,?") for word in riddles.split()}
    assert words.isdisjoint(names(held_out=True))
    assert len(words & set(names(held_out=False))) > 200
    assert not [c.deed for c in WORLD.consequences if c.held_out and c.deed in riddles]


def test_every_held_out_name_is_in_the_text():
    seen = {word.strip(".,:") for document in TEXT for word in document.split()}
    assert seen.issuperset(names(held_out=True))


def test_nothing_that_follows_by_a_rule_is_stated_of_held_out_entities():
    held_out = [e for e in (*WORLD.things, *WORLD.animals) if e.held_out]
    effects = sorted({effect.third for e in held_out for effect in e.effects})
    stated = [document for document in TEXT if any(effect in document for effect in effects)]
    assert not [d for d in stated if set(re.findall(r"\w+", d)) & {e.name for e in held_out}]


def test_no_document_has_a_benchmark_layout():
    _, tests = make_benchmarks(WORLD, test_rows=12, train_rows=12)
    phrases = {row["instruction"].split(":")[0] for rows in tests.values() for row in rows}
    phrases |= {"Answer format", "the correct answer is", "### Response"}
    text = [*TEXT, *map(as_text, documents(WORLD, [replace(LESSONS[-1], documents=5_000)]))]
    assert not [p for p in sorted(phrases) if any(p in document for document in text)]


def test_no_lesson_asks_about_what_the_test_asks_about(monkeypatch):
    monkeypatch.setattr("denselora.world.text._Writer._aside", lambda _: "")
    lesson = replace(LESSONS[-1], documents=5_000, mix={"riddle": 1, "lemma": 1, "yes_no": 1})
    asked = " ".join(as_text(document) for document in documents(WORLD, [lesson]))
    assert set(re.findall(r"\w+", asked)).isdisjoint(names(held_out=True))


def test_a_riddle_in_any_layout_names_the_number_of_the_right_option():
    lesson = Lesson(200, {"lemma": 1, "riddle": 1}, number_share=0.0, any_layout=True)
    for document in documents(WORLD, [lesson]):
        (asked, right), (_, number) = document
        assert re.search(rf"{number}:{re.escape(right)}(\s|\.|$)", asked)


def test_text_depends_on_the_seed_alone():
    assert sample(make_world(2), 50) == sample(make_world(2), 50)
    assert sample(make_world(2), 50) != sample(make_world(3), 50)


def test_every_lesson_is_written():
    for lesson in LESSONS:
        assert len(documents(WORLD, [replace(lesson, documents=100)])) == 100


def test_a_lesson_asks_about_as_many_relations_and_options_as_it_says():
    lesson = Lesson(200, {"fact_riddle": 1}, stated=1, asked=1, options=2, number_share=1.0)
    text = [as_text(document) for document in documents(WORLD, [lesson])]
    first = {
        value for relations in (THING_RELATIONS, ANIMAL_RELATIONS) for value in relations[0].values
    }
    assert all(re.findall(r"\d: (\w+)", document)[1:] and "3:" not in document for document in text)
    assert {option for document in text for option in re.findall(r"\d: (\w+)", document)} <= first


def test_the_world_has_thousands_of_facts():
    stated = sum(len(e.values) for e in (*WORLD.things, *WORLD.animals))
    derived = sum(len(e.effects) for e in (*WORLD.things, *WORLD.animals))
    ordered = sum(len(r.steps) - 1 for r in WORLD.routines)
    assert stated + derived + ordered > 2000
