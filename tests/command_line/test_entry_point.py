"""How scripts end."""

import pytest

from denselora.command_line.entry_point import INTERRUPTED, errors_in_one_line
from denselora.errors import UserError


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), INTERRUPTED, "interrupted; what is done is kept"),
        (KeyboardInterrupt("interrupted before it was saved"), INTERRUPTED, "before it was saved"),
        (
            PermissionError(13, "Permission denied", "/a/b"),
            2,
            "error: /a/b: Permission denied",
        ),
        (UserError("a\nb: no such folder"), 2, "error: a b: no such folder"),
        (OSError(36, "File name too long", "x" * 300), 2, "x: File name too long; fix"),
    ],
)
def test_what_the_system_or_the_user_stops_ends_in_one_line(error, code, line, capsys):
    with pytest.raises(SystemExit) as end, errors_in_one_line():
        raise error
    shown = capsys.readouterr().err.strip()
    assert end.value.code == code and line in shown and "\n" not in shown


def test_an_error_that_is_nobodys_mistake_keeps_its_traceback():
    with pytest.raises(OSError), errors_in_one_line():
        raise OSError("no file in it")


def test_ctrl_c_in_an_evaluation_keeps_what_is_answered(
    script, model_folder, data_folder, tmp_path, monkeypatch
):
    from denselora.evaluation import run

    real = run.answer_rows

    def interrupted(scoring, *args):
        if scoring.benchmark.name == "piqa":
            raise KeyboardInterrupt
        real(scoring, *args)

    call = [
        "evaluate", f"model.path={model_folder}", "data=local", f"data.path={data_folder}",
        "tasks=[boolq,piqa]", "limit=2", "scoring=choice", f"output_dir={tmp_path / 'out'}",
    ]  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(run, "answer_rows", interrupted)
        code, _, err = script(*call)
    assert code == 130 and "Traceback" not in err and "run the same command again" in err
    kept = (tmp_path / "out/boolq.jsonl").stat().st_mtime_ns
    code, _, err = script(*call)
    assert code == 0, err
    assert (tmp_path / "out/boolq.jsonl").stat().st_mtime_ns == kept
