"""Files that are cut short, of another kind, in another encoding, or not files at all."""

from tests.wrong_input.case import case, copy_of, files

CASES = [
    case(
        "train data.path=rows",
        "rows/train.json",
        given=files({"rows/train.json": ""}),
    ),
    case(
        "train model.path=model",
        "model.path=model",
        given=copy_of("model", lambda model: (model / "config.json").unlink()),
    ),
]
