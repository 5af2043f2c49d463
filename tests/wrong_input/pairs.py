"""Options, models and data that are right by themselves but can't work together."""

from tests.wrong_input.case import case

CASES = [
    case("train adapter=full quantization=nf4", "quantization=nf4", "adapter=full"),
]
