from denselora.results.setting import (
    differing_keys,
    in_words,
    modules_in_short,
    setting_of,
    usual_values,
)
from tests.results.records import make_record


def test_seed_and_folder_are_no_setting():
    one = setting_of(make_record(seed=0, config={"output_dir": "a"}))
    assert one == setting_of(make_record(seed=1, config={"output_dir": "b", "resume": True}))


def test_seeds_that_follow_the_seed_are_no_setting_and_others_are():
    follow = [make_record(seed=s, config={"seed_init": s, "seed_data": s}) for s in (1, 2)]
    assert setting_of(follow[0]) == setting_of(follow[1])
    own = setting_of(make_record(seed=1, config={"seed_init": 1, "seed_data": 7}))
    assert own["seed_data"] == "7" and "seed_init" not in own


def test_nested_config_is_part_of_the_setting():
    setting = setting_of(make_record(config={"adapter": {"peft": {"share": "none"}}}))
    assert setting["adapter.peft.share"] == "none"


def test_key_that_says_the_same_as_an_earlier_one_is_left_out():
    settings = [
        {"modules": "Q", "adapter.modules": "q_proj", "lr": "1"},
        {"modules": "UD", "adapter.modules": "up_proj", "lr": "1"},
        {"modules": "UD", "adapter.modules": "up_proj", "lr": "2"},
    ]
    assert differing_keys(settings) == ["modules", "lr"]


def test_equal_settings_differ_in_nothing():
    assert differing_keys([{"lr": "1"}, {"lr": "1"}]) == []


def test_setting_in_words_has_short_keys():
    assert in_words({"trainer.learning_rate": "0.1"}, ["trainer.learning_rate", "share"]) == (
        "learning_rate=0.1, share=–"
    )


def test_modules_are_written_as_in_the_paper():
    assert modules_in_short(["q_proj", "up_proj"]) == "QU"
    assert modules_in_short(["q_proj", "head"]) == "q_proj+head"
    assert modules_in_short(None) == ""


def test_key_that_follows_from_several_earlier_ones_is_left_out():
    settings = [{"r": r, "scale": s, "alpha": r * s} for r in (1, 2) for s in (1, 2)]
    assert differing_keys(settings) == ["r", "scale"]


def test_the_usual_value_is_the_most_common_one_and_ties_are_broken_beside():
    settings = [{"a": "1"}, {"a": "1"}, {"a": "2"}]
    assert usual_values(settings, [], ["a"]) == {"a": "1"}
    assert usual_values(settings[1:], [], ["a"]) == {}
    assert usual_values(settings[1:], [{"a": "2"}], ["a"]) == {"a": "2"}


def test_a_searched_number_has_three_digits():
    searched = {"trainer.learning_rate": "0.00020059560245279644", "adapter.alpha": "32"}
    assert in_words(searched, searched) == "learning_rate=0.000201, alpha=32"
    assert in_words({"learning_rate": "1.2345e-05"}, ["learning_rate"]) == "learning_rate=1.23e-05"
