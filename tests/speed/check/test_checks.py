"""The checks themselves, at small sizes on the CPU."""

import pytest
import torch

from denselora.adapter.fused import gpu
from denselora.adapter.fused import operator as fused
from denselora.speed.check import answers, card, operator, passes, shapes
from denselora.speed.check.finding import Place
from tests.configs import resolved


@pytest.fixture(scope="module")
def place():
    config = resolved("check_gpu")
    return Place("cpu", config["sizes"]["cpu"], config)


@pytest.mark.parametrize(
    "check",
    [passes.attention, operator.masks, answers.beams, answers.choice],
    ids=lambda check: check.__name__,
)
def test_what_is_right_passes(place, check, monkeypatch):
    monkeypatch.setattr(fused, "code", fused.code)  # which a check of the operator replaces
    found = list(check(place))
    assert found and all(finding.passed for finding in found)


@pytest.mark.parametrize(
    "check",
    [card.card, shapes.step_512, shapes.loop, answers.speed],
    ids=lambda check: check.__name__,
)
def test_what_is_measured_has_a_value(place, check):
    found = list(check(place))
    assert found and all(finding.value and finding.passed is None for finding in found)


def test_an_operator_that_is_wrong_fails(place, monkeypatch):
    monkeypatch.setattr(fused, "code", lambda device: Broken)
    monkeypatch.setattr(operator, "_use_the_kernels", lambda place: None)
    found = operator._compare(place, "broken", torch.float32, r=4)
    assert found.passed is False and "(D)" in found.value


class Broken:
    """The CPU's code with a wrong gradient of D."""

    from denselora.adapter.fused.cpu import add, masks

    add, masks = staticmethod(add), staticmethod(masks)

    @staticmethod
    def gradients(*args):
        from denselora.adapter.fused.cpu import gradients

        x, E, M, D = gradients(*args)
        return x, E, M, 1.01 * D


def test_the_rehearsal_runs_the_kernels(place, monkeypatch):
    monkeypatch.setattr(fused, "code", fused.code)  # put back afterwards
    assert operator._compare(place, "kernels", torch.bfloat16, tokens=1).passed
    assert fused.code(torch.device("cpu")) is gpu


def test_a_card_with_too_little_memory_is_said_and_skipped(place, monkeypatch):
    monkeypatch.setattr(Place, "free_gib", lambda self: 0.3)
    (found,) = shapes.loop(place)
    assert found.passed is None and found.value.startswith("skipped: needs 8 GiB of free memory")
