"""The answer sentence as token ids."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from denselora.tasks import SENTENCE


def answer_ids(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> list[list[int]]:
    """Token ids of the answer sentence with each word, tokenised apart from the prompt.

    Jointly, a prompt's trailing spaces would merge with the sentence's first letters, which makes
    other tokens than decoding after the prompt does.
    """
    sentences = [SENTENCE.format(word) for word in words]
    return tokenizer(sentences, add_special_tokens=False)["input_ids"]
