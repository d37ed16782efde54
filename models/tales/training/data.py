"""The tokenizer, and stories and chats as rows of its tokens."""
import json

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from chats import as_line, chats
from corpus import Grammar, stories
from llama import VOCAB

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
ROLES = ["<|system|>", "<|user|>", "<|assistant|>"]
UNUSED_BYTES = "\u00f5\u00f6\u00f7"  # the tokens of bytes that no UTF-8 text has: their places are those of the roles
TRAIN_SEED, VALID_SEED, HELDOUT_SEED = 20261123, 7, 11
ANSWER_WEIGHT = 4  # of a token of an answer, where one of a story has 1
VALID_CHATS, HELDOUT_CHATS = 200, 24
LONGEST_ANSWER = 200  # characters; a longer one is a story


def texts(count, seed):
    return [text for _, text in stories(count, seed, Grammar())]


def train_tokenizer(corpus):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=[BOS, EOS], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))])
    return with_roles(tokenizer)


def with_roles(tokenizer):
    """The tokenizer with the roles of a chat as special tokens, and a vocabulary of the same size."""
    data = json.loads(tokenizer.to_str())
    vocabulary = data["model"]["vocab"]
    for byte, role in zip(UNUSED_BYTES, ROLES, strict=True):
        vocabulary[role] = vocabulary.pop(byte)
        data["added_tokens"].append({**data["added_tokens"][0], "id": vocabulary[role], "content": role})
    return Tokenizer.from_str(json.dumps(data))


def encode(tokenizer, corpus):
    """All stories in a row, each as BOS ... EOS, and where each one starts."""
    eos = tokenizer.token_to_id(EOS)
    rows = [np.array(e.ids + [eos], dtype=np.uint16) for e in tokenizer.encode_batch(corpus)]
    starts = np.cumsum([0] + [len(r) for r in rows[:-1]])
    return np.concatenate(rows), starts.astype(np.int64)


def encode_chats(tokenizer, corpus):
    """All chats in a row, where each one starts, and the weight of each token as a target: those of the users have none."""
    rows, weights = [], []
    for chat in corpus:
        tokens, weight = [tokenizer.token_to_id(BOS)], [0]
        for message in chat.messages:
            content = tokenizer.encode(message["content"], add_special_tokens=False).ids
            said = message["role"] == "assistant"
            content += [tokenizer.token_to_id(EOS)] if said else []
            own = (ANSWER_WEIGHT if len(message["content"]) < LONGEST_ANSWER else 1) if said else 0
            tokens += [tokenizer.token_to_id(f"<|{message['role']}|>")] + content
            weight += [0] + [own] * len(content)
        rows.append(np.array(tokens, dtype=np.uint16))
        weights.append(np.array(weight, dtype=np.uint8))
    starts = np.cumsum([0] + [len(r) for r in rows[:-1]])
    return np.concatenate(rows), starts.astype(np.int64), np.concatenate(weights)


def make_data(work, out, count, chat_count):
    work.mkdir(parents=True, exist_ok=True)
    valid = texts(600, VALID_SEED)
    known = set(valid) | set(texts(60, HELDOUT_SEED))
    train = [t for t in texts(count, TRAIN_SEED) if t not in known]
    tokenizer = train_tokenizer(train[:20000])
    tokenizer.save(str(work / "tokenizer.json"))
    for name, corpus in (("train", train), ("valid", valid)):
        tokens, starts = encode(tokenizer, corpus)
        np.savez(work / f"{name}.npz", tokens=tokens, starts=starts)
        letters = sum(len(t.encode()) for t in corpus)
        print(f"{name}: {len(corpus)} stories, {len(tokens)} tokens, {letters / len(tokens):.2f} bytes a token")
    held_out = list(chats(HELDOUT_CHATS, HELDOUT_SEED))
    known = {as_line(c) for c in chats(VALID_CHATS, VALID_SEED)} | {as_line(c) for c in held_out}
    for name, corpus in (("train-chats", [c for c in chats(chat_count, TRAIN_SEED) if as_line(c) not in known]),
                         ("valid-chats", list(chats(VALID_CHATS, VALID_SEED)))):
        tokens, starts, weights = encode_chats(tokenizer, corpus)
        np.savez(work / f"{name}.npz", tokens=tokens, starts=starts, weights=weights)
        print(f"{name}: {len(corpus)} chats, {len(tokens)} tokens, {sum(len(c.asked) for c in corpus)} questions")
    write_heldout(out)
    (out / "heldout-chats.jsonl").write_text("".join(as_line(c) + "\n" for c in held_out))


def write_heldout(out):
    """About 55 kB of stories that are in neither of the other sets."""
    blocks, size = [], 0
    for text in texts(60, HELDOUT_SEED):
        size += len(text) + 2
        if size > 56000:
            break
        blocks.append(text)
    (out / "heldout.txt").write_text("\n\n".join(blocks) + "\n")


class Rows:
    """Rows of tokens that each begin at the start of a story or chat, so that position 0 is always BOS."""

    def __init__(self, path, at=0.0):
        data = np.load(path)
        self.tokens, self.starts = torch.from_numpy(data["tokens"].astype(np.int64)), data["starts"]
        self.weights = torch.from_numpy(data["weights"].astype(np.float32)) if "weights" in data else torch.ones(len(self.tokens))
        self.next = int(self.starts[int(at * len(self.starts))])

    def batch(self, rows, length):
        """Inputs, targets and the weights of the targets, each (rows, length)."""
        spans = []
        for _ in range(rows):
            if self.next + length + 1 > len(self.tokens):
                self.next = 0
            spans.append(slice(self.next, self.next + length + 1))
            after = np.searchsorted(self.starts, self.next + length)
            self.next = int(self.starts[after]) if after < len(self.starts) else 0
        tokens = torch.stack([self.tokens[s] for s in spans])
        return tokens[:, :-1], tokens[:, 1:], torch.stack([self.weights[s] for s in spans])[:, 1:]
