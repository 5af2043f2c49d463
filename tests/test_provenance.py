import subprocess

from denselora import provenance


def test_git_state_is_that_of_the_first_call(monkeypatch):
    provenance.git_state.cache_clear()
    answers = iter(["a" * 40, ""])
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 0, stdout=next(answers)),
    )
    first = provenance.git_state()
    assert first == {"commit": "a" * 40, "dirty": False}
    assert provenance.git_state() == first  # a second look at git would find no answer
    provenance.git_state.cache_clear()


def test_versions_of_what_can_change_a_number_are_kept():
    assert {"python", "torch", "transformers", "peft"} <= provenance.packages().keys()
