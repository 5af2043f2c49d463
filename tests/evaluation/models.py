"""A tiny LLaMA that has learnt to answer, so that beams differ and EOS comes up."""

import random
from pathlib import Path

import torch
from peft import PeftConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaForCausalLM, PreTrainedTokenizerFast

from denselora.protocol import Protocol
from tests.tiny import byte_tokenizer, speaking_llama

LAYOUTS = {
    "boolq": ("Please answer the following question with true or false, question: {}?\n\n", 0),
    "piqa": ("Please choose the correct solution to the question: {}?\n\n", 2),
    "ARC-Easy": ("Please choose the correct answer to the question: {}?\n\n", 4),
}
WORDS = "the cat dog tree stone runs over under red blue big small house river in of".split()  # noqa: SIM905


def make_rows(name: str, count: int, seed: int = 0) -> list[dict[str, str]]:
    """Rows in the layout of LLM-Adapters, of various lengths, answers drawn at random."""
    draw = random.Random(f"{name}/{seed}")
    layout, n = LAYOUTS[name]
    word = {"piqa": "solution", "ARC-Easy": "answer"}.get(name, "")
    answers = [f"{word}{i + 1}" for i in range(n)] if n else ["true", "false"]
    rows = []
    for _ in range(count):
        question = " ".join(draw.choices(WORDS, k=draw.randint(1, 12)))
        listed = " ".join(f"{a.capitalize()}: {draw.choice(WORDS)}" for a in answers) if n else ""
        answer = draw.choice(answers)
        rows.append(
            {
                "instruction": layout.format(question)
                + f"{listed} Answer format: {'/'.join(answers)}",
                "input": "",
                "output": f"the correct answer is {answer}",
                "answer": answer,
            }
        )
    return rows


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with BOS like LLaMA's, a pad id of 0, padding on the left."""
    texts = [row["instruction"] + " " + row["output"] for n in LAYOUTS for row in make_rows(n, 40)]
    return byte_tokenizer(
        texts,
        420,
        begins_texts=True,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def make_model(
    tokenizer: PreTrainedTokenizerFast, protocol: Protocol, steps: int = 60
) -> LlamaForCausalLM:
    """Trained until it mostly answers in the right form, and no further: it must have doubts."""
    model = speaking_llama(tokenizer, intermediate_size=64, initializer_range=0.2)
    rows = [row for name in LAYOUTS for row in make_rows(name, 16, seed=1)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    draw = random.Random(0)
    for _ in range(steps):
        batch = []
        for row in draw.sample(rows, 8):
            prompt = tokenizer(protocol.evaluation_prompt(row))["input_ids"]
            answer = tokenizer(row["output"], add_special_tokens=False)["input_ids"]
            batch.append((prompt, [*answer, tokenizer.eos_token_id]))
        longest = max(len(prompt) + len(answer) for prompt, answer in batch)
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        labels = torch.full_like(ids, -100)
        for place, (prompt, answer) in enumerate(batch):
            whole = torch.tensor(prompt + answer)
            ids[place, : len(whole)] = whole
            labels[place, len(prompt) : len(whole)] = whole[len(prompt) :]
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def make_adapter(base_folder: Path, folder: Path, config: PeftConfig) -> Path:
    """The folder of an adapter for a base, untrained."""
    torch.manual_seed(3)
    base = AutoModelForCausalLM.from_pretrained(base_folder)
    get_peft_model(base, config).save_pretrained(folder)
    return folder


def full_log_likelihood(model, prompt, answer) -> float:
    """The definition: the sum over all of the answer's tokens."""
    with torch.no_grad():
        log_probs = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    return sum(float(log_probs[len(prompt) - 1 + i, token]) for i, token in enumerate(answer))
