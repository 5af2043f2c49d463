from denselora.evaluation.answer_tokens import common


def test_answers_share_tokens_up_to_where_they_part():
    assert common([[1, 2, 3], [1, 2, 4]]) == 2
    assert common([[1, 2], [1, 2, 4]]) == 1
    assert common([[1, 2], [3, 4]]) == 0
