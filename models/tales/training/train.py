"""Trains the story model on a CPU and writes it in the Hugging Face layout.

usage: python train.py data --work DIR [--stories 100000] [--chats 20000]  corpora, tokenizer, token files
       python train.py fit --work DIR --steps 4000 [--resume]  training on stories and chats in turn; exports at the end
       python train.py fit --work DIR --start FILE.safetensors  training on from exported weights
       python train.py export --work DIR [--average]           exports the latest checkpoint (or its running average)
       python train.py measure --work DIR [--weights FILE]     validation losses and the share of right answers
       python train.py sample [--prompt TEXT] [--temperature T] [--seed N]  stories from the exported model, by transformers

DIR takes the token files and the checkpoints; exports go to --out, by default the folder above this one. Needs torch, numpy, tokenizers and safetensors; sample and the export
of the tokenizer need transformers as well.
"""
import argparse
import contextlib
import json
import math
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from chats import as_line, chats
from corpus import Grammar, stories

OUT = Path(__file__).resolve().parent.parent
VOCAB, HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, MLP = 1024, 192, 8, 8, 4, 32, 512
POSITIONS, EPS, THETA = 2048, 1e-5, 10000.0
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
ROLES = ["<|system|>", "<|user|>", "<|assistant|>"]
UNUSED_BYTES = "\u00f5\u00f6\u00f7"  # the tokens of bytes that no UTF-8 text has: their places are those of the roles
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('this model knows the roles system, user and assistant, not ' + message.role) }}{% endif %}"
    "{{ '<|' + message.role + '|>' }}{{ message.content | trim }}{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}")
TRAIN_SEED, VALID_SEED, HELDOUT_SEED = 20261123, 7, 11
ANSWER_WEIGHT = 4  # of a token of an answer, where one of a story has 1
VALID_CHATS, HELDOUT_CHATS = 200, 24
LONGEST_ANSWER = 200  # characters; a longer one is a story


# --- data ---

def texts(count, seed):
    return [text for _, text in stories(count, seed, Grammar())]


def train_tokenizer(corpus):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

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
    from tokenizers import Tokenizer

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


def make_data(work, count, chat_count):
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
    write_heldout()
    (OUT / "heldout-chats.jsonl").write_text("".join(as_line(c) + "\n" for c in held_out))


def write_heldout():
    """About 55 kB of stories that are in neither of the other sets."""
    blocks, size = [], 0
    for text in texts(60, HELDOUT_SEED):
        size += len(text) + 2
        if size > 56000:
            break
        blocks.append(text)
    (OUT / "heldout.txt").write_text("\n\n".join(blocks) + "\n")


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


# --- model: a Llama, with the parameter names of transformers ---

class Norm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, EPS)


def rotate(x, cos, sin):
    """Rotary position embedding on the two halves of each head."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(HIDDEN, HEADS * HEAD_DIM, bias=False)
        self.k_proj = nn.Linear(HIDDEN, KV_HEADS * HEAD_DIM, bias=False)
        self.v_proj = nn.Linear(HIDDEN, KV_HEADS * HEAD_DIM, bias=False)
        self.o_proj = nn.Linear(HEADS * HEAD_DIM, HIDDEN, bias=False)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        heads = lambda y: y.view(b, t, -1, HEAD_DIM).transpose(1, 2)
        q, k, v = heads(self.q_proj(x)), heads(self.k_proj(x)), heads(self.v_proj(x))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = (y.repeat_interleave(HEADS // KV_HEADS, 1) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(b, t, -1))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj = nn.Linear(HIDDEN, MLP, bias=False)
        self.up_proj = nn.Linear(HIDDEN, MLP, bias=False)
        self.down_proj = nn.Linear(MLP, HIDDEN, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm, self.self_attn = Norm(HIDDEN), Attention()
        self.post_attention_layernorm, self.mlp = Norm(HIDDEN), Mlp()

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCAB, HIDDEN)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = Norm(HIDDEN)
        angles = torch.outer(torch.arange(POSITIONS), THETA ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        self.init_weights()

    def init_weights(self):
        for name, p in self.named_parameters():
            if p.dim() < 2:
                continue
            std = 0.02 if name.startswith("embed") else 0.6 / math.sqrt(p.shape[1])
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                std /= math.sqrt(2 * LAYERS)
            nn.init.normal_(p, std=std)

    def hidden(self, tokens):
        x = self.embed_tokens(tokens)
        cos, sin = self.cos[:tokens.shape[1]].to(x.dtype), self.sin[:tokens.shape[1]].to(x.dtype)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x)

    def logits(self, tokens):
        x = self.hidden(tokens)
        with torch.autocast("cpu", enabled=False):
            return F.linear(x.float(), self.embed_tokens.weight)

    def forward(self, tokens, targets, weights):
        losses = F.cross_entropy(self.logits(tokens).view(-1, VOCAB), targets.reshape(-1), reduction="none")
        return (losses * weights.reshape(-1)).sum() / weights.sum()


# --- training ---

def rate(step, done, args):
    """Warm-up, a plateau, then a decay to zero over the last part of the run."""
    return args.lr * min((step + 1) / args.warmup, 1.0, (1 - done) / args.decay)


def share_done(step, started, args):
    """How much of the run is over, by steps or by the clock, whichever is further."""
    by_clock = (time.time() - started) / (60 * args.minutes) if args.minutes else 0.0
    return min(max(step / args.steps, by_clock), 1.0)


def make_optimizer(model, args):
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": args.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), fused=True)


def shape_at(done, args, which):
    """Rows and length of a batch, longer ones for chats: a part near the end is trained on rows of full length."""
    length = POSITIONS if 0.9 - args.long_part <= done < 0.9 else args.length * (1 + which)
    return args.tokens // length, length


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
    from tokenizers import Tokenizer

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


def load_weights(model, path):
    from safetensors.torch import load_file

    model.load_state_dict({name[len("model."):]: tensor.float() for name, tensor in load_file(path).items()})


def save(path, model, average, optimizer, rows, step, seen):
    state = {"model": model.state_dict(), "average": average, "optimizer": optimizer.state_dict(),
             "next": [r.next for r in rows], "step": step, "seen": seen}
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def fit(args):
    torch.manual_seed(TRAIN_SEED)
    torch.set_num_threads(args.threads)
    model, step, seen = Llama(), 0, 0
    rows = [Rows(args.work / "train.npz", args.stories_from), Rows(args.work / "train-chats.npz")]
    if args.start:
        load_weights(model, args.start)
    optimizer = make_optimizer(model, args)
    average = {n: p.detach().clone() for n, p in model.named_parameters()}
    checkpoint = args.work / "checkpoint.pt"
    if args.resume:
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average, step, seen = state["average"], state["step"], state["seen"]
        for corpus, place in zip(rows, state["next"], strict=True):
            corpus.next = place
    run = torch.compile(model, dynamic=False) if args.compile else model
    precision = torch.autocast("cpu", torch.bfloat16) if args.bfloat16 else contextlib.nullcontext()
    started, before, recent, exported = time.time(), seen, [[], []], 0
    while (done := share_done(step, started, args)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate(step, done, args)
        which = int(step % 3 > 0)  # two batches of chats for one of stories: more than half of a chat is a story
        count, length = shape_at(done, args, which)
        batch = rows[which].batch(count, length)
        with precision:
            loss = (run if length < POSITIONS else model)(*batch)  # the few long rows: no compilation for them
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step, seen = step + 1, seen + batch[0].numel()
        torch._foreach_lerp_(list(average.values()), [p.detach() for p in model.parameters()], 0.01)
        recent[which].append(loss.item())
        if step % 20 == 0:
            speed = (seen - before) / (time.time() - started)
            print(f"step {step} loss {np.mean(recent[0][-20:]):.4f} chats {np.mean(recent[1][-20:]):.4f} tokens {seen} {speed:.0f}/s "
                  f"done {done:.3f} lr {rate(step, done, args):.2e}", flush=True)
        if step % args.save_every == 0:
            save(checkpoint, model, average, optimizer, rows, step, seen)
        if step % args.validate_every == 0:
            print(f"step {step} validation loss of stories and chats {validate(model, args.work)}", flush=True)
        if args.export_minutes and time.time() - started > (exported + 1) * 60 * args.export_minutes:
            exported += 1
            save(checkpoint, model, average, optimizer, rows, step, seen)
            export(args, average=True)
    save(checkpoint, model, average, optimizer, rows, step, seen)
    export(args, average=False)


# --- export ---

def export(args, average):
    from safetensors.torch import save_file

    out = args.out
    out.mkdir(parents=True, exist_ok=True)
    state = torch.load(args.work / "checkpoint.pt", weights_only=True)
    weights = state["average"] if average else state["model"]
    tensors = {f"model.{n}": w.to(torch.bfloat16).contiguous() for n, w in weights.items()}
    save_file(tensors, out / "model.safetensors.part", metadata={"format": "pt"})
    (out / "model.safetensors.part").replace(out / "model.safetensors")
    write_settings(out, json.loads((args.work / "tokenizer.json").read_text()))
    model = Llama()
    load_weights(model, out / "model.safetensors")
    print(f"exported step {state['step']}, {state['seen']} tokens seen; validation loss of the exported weights "
          f"{validate(model, args.work)} nats a token of stories and of chats", flush=True)


def write_settings(out, tokenizer):
    """Everything of the model but its weights."""
    (out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    ids = {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    write_json(out / "config.json", model_config(ids))
    write_json(out / "generation_config.json", {
        "bos_token_id": ids[BOS], "eos_token_id": ids[EOS], "pad_token_id": ids[EOS],
        "do_sample": True, "temperature": 0.8, "top_p": 0.95, "max_new_tokens": 600})
    write_json(out / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS, "pad_token": EOS,
        "additional_special_tokens": ROLES, "model_max_length": POSITIONS, "clean_up_tokenization_spaces": False,
        "add_bos_token": True, "chat_template": TEMPLATE})


def model_config(ids):
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCAB, "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM, "intermediate_size": MLP, "max_position_embeddings": POSITIONS,
        "rms_norm_eps": EPS, "rope_theta": THETA, "rope_scaling": None, "hidden_act": "silu",
        "tie_word_embeddings": True, "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False,
        "initializer_range": 0.02, "use_cache": True, "torch_dtype": "bfloat16",
        "bos_token_id": ids[BOS], "eos_token_id": ids[EOS], "pad_token_id": ids[EOS]}


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def sample(args):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(args.out), AutoModelForCausalLM.from_pretrained(args.out)
    for prompt in args.prompt or ["Once upon a time"]:
        torch.manual_seed(args.seed)
        how = {"do_sample": True, "temperature": args.temperature, "top_p": 1.0, "top_k": 0} if args.temperature else {
            "do_sample": False, "temperature": None, "top_p": None}
        ids = model.generate(**tokenizer(prompt, return_tensors="pt", return_token_type_ids=False),
                             max_new_tokens=args.max_new_tokens, **how)[0]
        ended = ids[-1].item() == tokenizer.eos_token_id
        text = tokenizer.decode(ids, skip_special_tokens=True)
        print(f"--- temperature {args.temperature} seed {args.seed} tokens {len(ids)} "
              f"words {len(text.split())}{'' if ended else ' (cut off)'}\n{text}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["data", "fit", "export", "measure", "sample"])
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--out", type=Path, default=OUT, help="where the model is written to and read from")
    parser.add_argument("--weights", type=Path, help="the weights to measure, of a .safetensors file")
    parser.add_argument("--stories", type=int, default=100000)
    parser.add_argument("--chats", type=int, default=20000)
    parser.add_argument("--start", type=Path, help="the weights to begin with, of a .safetensors file")
    parser.add_argument("--stories-from", type=float, default=0.0, help="share of the stories that is skipped: earlier runs saw it")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--minutes", type=float, help="end after this time, however many steps were done")
    parser.add_argument("--tokens", type=int, default=4096, help="tokens a batch")
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--long-part", type=float, default=0.08, help="share of the steps on rows of full length")
    parser.add_argument("--lr", type=float, default=2.5e-3)
    parser.add_argument("--warmup", type=int, default=80)
    parser.add_argument("--decay", type=float, default=0.6, help="share of the steps in which the rate falls to zero")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=int, default=50)
    parser.add_argument("--validate-every", type=int, default=200)
    parser.add_argument("--export-minutes", type=float, help="export the running average this often")
    parser.add_argument("--bfloat16", action="store_true", help="compute in bfloat16; the weights stay float32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--average", action="store_true", help="export the running average of the weights")
    parser.add_argument("--prompt", action="append")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-new-tokens", type=int, default=700)
    args = parser.parse_args()
    if args.what == "data":
        make_data(args.work, args.stories, args.chats)
    elif args.what == "fit":
        fit(args)
    elif args.what == "export":
        export(args, args.average)
    elif args.what == "measure":
        measure(args)
    else:
        sample(args)


if __name__ == "__main__":
    main()
