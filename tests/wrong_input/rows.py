"""Rows to train on, to score and to ask: encodings, JSON of other shapes, fields and golds."""

import json

from tests.wrong_input.case import case, files
from tests.wrong_input.spoil import HTML, LFS

ROW = {
    "instruction": "Is it?\n\nAnswer format: true/false",
    "input": "",
    "output": "the correct answer is true",
    "answer": "true",
}

CASES = [
    case("ask", "line 1", "byte order mark", stdin=b'\xef\xbb\xbf{"instruction": "A"}'),
    case("ask", "line 1", "UTF-16", stdin='{"instruction": "A"}'.encode("utf-16")),
    case("ask", "line 1", "not UTF-8", stdin="Où?".encode("latin-1")),
    case("ask", "line 1", "'input' is null", stdin=b'{"instruction": "A", "input": null}'),
    case("ask", "line 2", "malformed JSON", stdin=b'[{"instruction": "A"},\n{"instruction": ]'),
    *(
        case(
            "train data.path=rows", "rows/train.json", says, given=files({"rows/train.json": text})
        )
        for says, text in {
            "byte order mark": "\ufeff" + json.dumps([ROW]),
            "UTF-16": json.dumps([ROW]).encode("utf-16"),
            "not UTF-8": b'[{"instruction": "\xe9"}]',
            "JSON Lines": f"{json.dumps(ROW)}\n{json.dumps(ROW)}\n",
            "an object; expected a JSON list": json.dumps(ROW),
            "empty; expected a JSON list": "",
            "no rows; expected a JSON list": "[]",
            "git lfs pull": LFS,
            "HTML": HTML,
            "row 1 has the field 'output' twice": json.dumps([ROW])[:-2] + ', "output": "x"}]',
            "'input' is null": json.dumps([ROW | {"input": None}]),
        }.items()
    ),
    *(
        case(
            "evaluate data.path=rows tasks=[boolq]",
            "rows/boolq/test.json: row 2, field 'answer' is",
            "expected true, false",
            given=files({"rows/boolq/test.json": json.dumps([ROW, ROW | {"answer": gold}])}),
        )
        for gold in ("yes", "answer1")
    ),
    *(
        case(
            "evaluate data.path=rows tasks=[ARC-Easy]",
            f"row 1 offers '{offered}'",
            "expected two or more different ones of answer1, answer2",
            given=files(
                {
                    "rows/ARC-Easy/test.json": json.dumps(
                        [
                            ROW
                            | {
                                "instruction": f"Which?\n\nAnswer format: {offered}",
                                "answer": "answer1",
                            }
                        ]
                    )
                }
            ),
        )
        for offered in (
            *("answer1/answer2/", "answer1", "answer1/answer1", "answer1/answer2.", "yes/no"),
        )
    ),
    case(
        "evaluate data.path=rows tasks=[ARC-Easy]",
        "'answer' is 'answer4', expected answer1, answer2, answer3",
        given=files(
            {
                "rows/ARC-Easy/test.json": json.dumps(
                    [
                        ROW
                        | {
                            "instruction": "Which?\n\nAnswer format: answer1/answer2/answer3",
                            "answer": "answer4",
                        }
                    ]
                )
            }
        ),
    ),
]
