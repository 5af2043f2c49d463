from denselora.reproduce.demo import learnt
from tests.results.records import make_record


def test_the_demo_ends_with_what_was_learnt():
    records = [
        make_record("none", correct=0.45),
        make_record("lora", r=32, correct=0.65),
        make_record(r=16, correct=0.6),
    ]
    assert learnt(records) == (
        "DenseLoRA r=16 answers 60.0 % of the questions with 80,000 trained parameters, "
        "LoRA r=32 65.0 % with 160,000; the base, made to choose, 45.0 %, guessing gives 25.0 %."
    )


def test_a_method_that_has_no_average_is_named():
    assert learnt([make_record("lora"), make_record("none")]) == (
        "No average of denselora: see above."
    )
