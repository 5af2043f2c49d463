from dataclasses import replace
from pathlib import Path

import pytest

from denselora.errors import UserError
from denselora.protocol import Protocol
from tests.configs import read_protocol, resolved

GOLDEN = Path(__file__).parent / "golden"
ROW = {
    "instruction": "Please answer the following question with true or false, question: "
    "is {this} a question?\n\nAnswer format: true/false",
    "input": "",
    "output": "the correct answer is true",
    "answer": "true",
}
INPUT = 'A passage, with {braces} and "quotes".'


@pytest.mark.parametrize("name", ["paper", "clean"])
@pytest.mark.parametrize("suffix, given", [("", ""), ("_with_input", INPUT)])
def test_prompts_equal_the_golden_files_byte_for_byte(name, suffix, given):
    protocol = read_protocol(name)
    row = {**ROW, "input": given}
    train = "".join(protocol.training_text(row)).encode()
    evaluate = protocol.evaluation_prompt(row).encode()
    assert train == (GOLDEN / f"{name}_train{suffix}.txt").read_bytes()
    assert evaluate == (GOLDEN / f"{name}_evaluate{suffix}.txt").read_bytes()


def test_clean_trains_on_the_very_prompt_that_it_evaluates():
    protocol = read_protocol("clean")
    for given in ("", INPUT):
        row = {**ROW, "input": given}
        assert protocol.training_text(row)[0] == protocol.evaluation_prompt(row)


def test_paper_trains_on_another_prompt_than_it_evaluates():
    protocol = read_protocol("paper")
    assert protocol.training_text(ROW)[0] != protocol.evaluation_prompt(ROW)


def test_hash_changes_with_any_field():
    protocol = read_protocol("paper")
    others = [
        replace(protocol, version=2),
        replace(protocol, cutoff=255),
        replace(protocol, prompt=replace(protocol.prompt, evaluate="{instruction} ")),
        replace(protocol, decoding=replace(protocol.decoding, num_beams=1)),
    ]
    assert len({protocol.hash, *(other.hash for other in others)}) == 5


@pytest.mark.parametrize(
    "change, words",
    [
        ({"loss_reduction": "sum"}, ["protocol.loss_reduction", "token_mean"]),
        ({"cutoff": 0}, ["protocol.cutoff", "above 0"]),
        ({"decoding": {"num_beams": 0, "max_new_tokens": 4}}, ["decoding.num_beams"]),
        ({"surprise": 1}, ["surprise"]),
    ],
)
def test_an_impossible_value_is_named(change, words):
    with pytest.raises(UserError) as error:
        Protocol.from_config({**resolved("train", "protocol=paper")["protocol"], **change})
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("train", "{instruction}"),
        ("train", "{instruction} {output} and more"),
        ("train", "{instruction} {output}{output}"),
        ("train_with_input", "{instruction} {inptu} {output}"),
        ("evaluate", "{instruction} {output}"),
        ("evaluate", "Answer!"),
        ("evaluate", "{instruction} {"),
    ],
)
def test_a_prompt_that_no_row_fits_is_refused(prompt, text):
    config = resolved("train", "protocol=paper")["protocol"]
    with pytest.raises(UserError, match=rf"protocol\.prompt\.{prompt}=.*its fields have to be"):
        Protocol.from_config({**config, "prompt": {**config["prompt"], prompt: text}})


def test_braces_that_are_doubled_are_text():
    config = resolved("train", "protocol=clean")["protocol"]
    prompt = config["prompt"] | {"train": "Say {{output}} to {instruction}: {output}"}
    protocol = Protocol.from_config({**config, "prompt": prompt})
    row = {"instruction": "me", "input": "", "output": "yes"}
    assert protocol.training_text(row) == ("Say {output} to me: ", "yes")
