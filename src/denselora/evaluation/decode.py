"""Greedy decoding and beam search: transformers' own outcome, with each prompt computed once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedTokenizerBase

from denselora.evaluation.context import Context
from denselora.protocol import Decoding

NEVER = -1.0e9  # transformers' score of what can't be chosen


def generation_config(decoding: Decoding, tokenizer: PreTrainedTokenizerBase) -> GenerationConfig:
    """Deterministic decoding with every field that decides it set here, none inherited.

    The record keeps it; transformers' generate with it gives what this module gives.
    """
    return GenerationConfig(
        num_beams=decoding.num_beams,
        max_new_tokens=decoding.max_new_tokens,
        min_new_tokens=None,
        do_sample=False,
        temperature=1.0,
        top_k=50,
        top_p=1.0,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        length_penalty=1.0,
        early_stopping=False,
        num_return_sequences=1,
        use_cache=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


@torch.no_grad()
def greedy(
    context: Context, tokens: int, eos: int, settled: Callable[[list[int]], bool]
) -> list[list[int]]:
    """Each row's most likely continuation, token by token, at most so many, EOS left out; what the
    context has kept of a draft, which must be shorter, is its beginning.

    A row ends at EOS, or as soon as `settled` says of its tokens that no more are needed.
    """
    made = [list(written) for written in context.written]
    live = list(range(len(made)))
    logits = context.logits
    for step in range(tokens):
        chosen = logits.argmax(-1)
        going = []
        for place, (row, token) in enumerate(zip(live, chosen.tolist(), strict=True)):
            if token != eos:
                made[row].append(token)
                if len(made[row]) < tokens and not settled(made[row]):
                    going.append(place)
        if not going:
            break
        if len(going) < len(live):
            kept = torch.tensor(going, device=chosen.device)
            context.keep(kept)
            chosen, live = chosen[kept], [live[place] for place in going]
        before = chosen.new_ones(len(live), 1, step + 1, dtype=torch.bool)
        logits = context.append(chosen[:, None], before, step)[:, 0]
    return made


@dataclass
class _Beams:
    """The state of the search, one entry a row. K beams; T tokens at most; t made so far."""

    row: Tensor
    """int64 [R], the row's number in the batch."""
    ids: Tensor
    """int64 [R, K, t], the running beams, best first."""
    score: Tensor
    """float32 [R, K], sums of log-probabilities."""
    ancestors: Tensor
    """bool [R, K, t * K], which appended tokens led to each beam."""
    done_ids: Tensor
    """int64 [R, K, T], ended beams, best first."""
    done_score: Tensor
    """float32 [R, K], sum of log-probabilities over length; NEVER where no beam has ended yet."""
    done: Tensor
    """bool [R, K], whether there is an ended beam."""

    def __getitem__(self, kept: Tensor) -> "_Beams":
        return _Beams(*(value[kept] for value in vars(self).values()))


@torch.no_grad()
def beam_search(context: Context, beams: int, tokens: int, eos: int) -> list[list[int]]:
    """Each row's best continuation under transformers' beam search, EOS left out.

    The same arithmetic in the same order as GenerationMixin._beam_search of transformers 5 with
    num_beams=beams, length_penalty=1, early_stopping=False, do_sample=False and one EOS id. Of the
    2·beams best continuations of a row, those that end (EOS, or no room left) among the best
    `beams` become candidates with score/length, and the best `beams` of the others run on. A row is
    over when its best running score over the present length is no better than its worst candidate.

    It is left earlier when its outcome is certain: log-probabilities aren't above 0, so whatever
    follows a running beam ends with at most its score now, over at most `tokens`. Once that is
    below the best candidate of all, this candidate stays the best, and it alone is returned. So the
    result is the same token for token; it doesn't depend on what else is in the batch, since rows
    share no state.

    An answer word alone doesn't end a row here: protocol `paper` reads what follows the *last*
    "### Response:", which a beam may still write again, so it would not be certain.
    """
    rows, device = len(context.length), context.logits.device
    best = [[] for _ in range(rows)]
    state = _Beams(
        row=torch.arange(rows, device=device),
        ids=torch.empty(rows, beams, 0, dtype=torch.long, device=device),
        score=torch.zeros(rows, beams, device=device),
        ancestors=torch.empty(rows, beams, 0, dtype=torch.bool, device=device),
        done_ids=torch.full((rows, beams, tokens), eos, device=device),
        done_score=torch.full((rows, beams), NEVER, device=device),
        done=torch.zeros(rows, beams, dtype=torch.bool, device=device),
    )
    log_probs = context.logits.log_softmax(-1)[:, None]  # beams are still one
    for made in range(1, tokens + 1):
        state, over = _step(state, log_probs, made, beams, tokens, eos)
        for place in over.nonzero()[:, 0].tolist():
            ids = state.done_ids[place, 0].tolist()
            best[int(state.row[place])] = ids[: ids.index(eos)] if eos in ids else ids
        if over.any():
            kept = (~over).nonzero()[:, 0]
            if not len(kept):
                break
            context.keep(kept)
            state = state[kept]
        own = torch.eye(beams, dtype=torch.bool, device=device).expand(len(state.row), -1, -1)
        state.ancestors = torch.cat([state.ancestors, own], dim=-1)
        logits = context.append(state.ids[:, :, -1], state.ancestors, made - 1)
        log_probs = logits.log_softmax(-1)
    return best


def _step(
    state: _Beams, log_probs: Tensor, made: int, beams: int, tokens: int, eos: int
) -> tuple[_Beams, Tensor]:
    """Add the `made`-th token. log_probs: [R, K, V], or [R, 1, V] for the first token.

    Returns the new state and which rows are over (bool [R]).
    """
    rows, running, vocabulary = log_probs.shape
    scores = (log_probs + state.score[:, :running, None]).view(rows, -1)
    top_score, top = scores.topk(2 * beams)
    parent, token = top // vocabulary, top % vocabulary
    top_ids = torch.cat([_pick(state.ids, parent), token[:, :, None]], dim=-1)
    ends = (token == eos) | (made == tokens)

    score, place = (top_score + ends * NEVER).topk(beams)
    candidate = ends.clone()
    candidate[:, beams:] = False
    done_score, done_place = torch.cat(
        [state.done_score, top_score / made + ~candidate * NEVER], dim=1
    ).topk(beams)
    padding = top_ids.new_full((rows, 2 * beams, tokens - made), eos)
    done_ids = torch.cat([state.done_ids, torch.cat([top_ids, padding], dim=-1)], dim=1)
    after = _Beams(
        row=state.row,
        ids=_pick(top_ids, place),
        score=score,
        ancestors=_pick(state.ancestors, parent.gather(1, place)),
        done_ids=_pick(done_ids, done_place),
        done_score=done_score,
        done=torch.cat([state.done, candidate], dim=1).gather(1, done_place),
    )
    worst = torch.where(after.done, done_score.min(1, keepdim=True)[0], NEVER)
    exhausted = ~(score[:, :1] / made > worst).any(1)
    certain = after.done[:, 0] & (score[:, 0] / tokens < done_score[:, 0])
    return after, exhausted | certain | (made == tokens)


def _pick(values: Tensor, places: Tensor) -> Tensor:
    """values [R, n, m] at places [R, k]: [R, k, m]."""
    return values.gather(1, places[:, :, None].expand(-1, -1, values.shape[2]))


def decode_texts(tokenizer: PreTrainedTokenizerBase, made: Sequence[list[int]]) -> list[str]:
    """Texts of continuations; special tokens are left out, as the authors' script leaves them."""
    return tokenizer.batch_decode(list(made), skip_special_tokens=True)
