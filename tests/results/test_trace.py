import pytest

from denselora.errors import UserError
from denselora.results.record import read_records
from denselora.results.trace import trace
from tests.results.records import make_record, save


@pytest.fixture
def records(tmp_path):
    save(tmp_path, make_record("lora", correct=0.4), make_record("denselora", correct=0.6))
    return read_records(tmp_path)


def test_a_cell_leads_to_its_record_and_its_predictions(records):
    lines = trace(records, "DenseLoRA r=16 BoolQ")
    assert str(records[0].file.parent) in lines[0]
    told = [line for line in lines if line.startswith("  BoolQ: ")]
    assert len(told) == 1 and "boolq" in told[0] and "right" in told[0]


def test_an_unknown_word_is_told_the_known_ones(records):
    with pytest.raises(UserError, match=r"'nonsense'; known are .*boolq"):
        trace(records, "DenseLoRA nonsense")
