"""What the model has learned: its loss on stories and chats that it has not seen, and its answers."""
import json
from collections import Counter

import numpy as np
import torch
from tokenizers import Tokenizer

from chats import as_line, chats
from data import BOS, EOS, HELDOUT_SEED, ROLES, Rows
from llama import POSITIONS, Llama, load_weights


@torch.no_grad()
def validate(model, work):
    """Loss in nats a token: of the stories, and of what the assistant says in the chats (a token of an answer counts as one)."""
    losses = []
    for name, length in (("valid", 512), ("valid-chats", 1024)):
        rows = Rows(work / f"{name}.npz")
        rows.weights = rows.weights.clamp(max=1)
        losses.append(float(np.mean([model(*rows.batch(4096 // length, length)).item() for _ in range(12)])))
    return losses


@torch.no_grad()
def answer(model, tokenizer, path):
    """How many questions of each kind the chats of a file ask, and how many the model answers right, word by word, where it
    always takes the likeliest token and the chat before is as in the file."""
    right, asked = Counter(), Counter()
    ids = {role: tokenizer.token_to_id(role) for role in (BOS, EOS, *ROLES)}
    for line in path.read_text().splitlines():
        chat, tokens, spans = json.loads(line), [ids[BOS]], {}
        for place, message in enumerate(chat["messages"]):
            said = message["role"] == "assistant"
            tokens.append(ids[f"<|{message['role']}|>"])
            start = len(tokens)
            tokens += tokenizer.encode(message["content"], add_special_tokens=False).ids + ([ids[EOS]] if said else [])
            spans[place] = slice(start, len(tokens))
        tokens = torch.tensor(tokens[:POSITIONS])
        likeliest = model.logits(tokens[None])[0].argmax(-1)
        for place, kind in chat["asked"].items():
            span = spans[int(place)]
            if span.stop <= len(tokens):
                asked[kind] += 1
                right[kind] += bool((likeliest[span.start - 1:span.stop - 1] == tokens[span]).all())
    return right, asked


def measure(args):
    torch.set_num_threads(args.threads)
    model = Llama()
    load_weights(model, args.weights or args.out / "model.safetensors")
    story_loss, chat_loss = validate(model, args.work)
    tokenizer = Tokenizer.from_file(str(args.work / "tokenizer.json"))
    path = args.work / "asked.jsonl"
    path.write_text("".join(as_line(c) + "\n" for c in chats(200, HELDOUT_SEED + 1)))
    right, asked = answer(model, tokenizer, path)
    found = {"stories": story_loss, "chats": chat_loss, "right": sum(right.values()), "asked": sum(asked.values()),
             "kinds": {kind: [right[kind], asked[kind]] for kind in sorted(asked)}}
    print(json.dumps(found))
    return found
