"""A tiny LLaMA that has learnt to answer, so that beams differ and EOS comes up."""

import random

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from denselora.protocol import Protocol

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
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def make_model(
    tokenizer: PreTrainedTokenizerFast, protocol: Protocol, steps: int = 60
) -> LlamaForCausalLM:
    """Trained until it mostly answers in the right form, and no further: it must have doubts."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            initializer_range=0.2,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )
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
