"""Trains the story model on a CPU and writes it in the Hugging Face layout.

usage: python train.py data --work DIR [--stories 100000]       corpus, tokenizer, token files
       python train.py fit --work DIR --steps 4000 [--resume]  training; exports to .. at the end
       python train.py export --work DIR [--average]           exports the latest checkpoint (or its running average)
       python train.py sample [--prompt TEXT] [--temperature T] [--seed N]  stories from the exported model, by transformers

DIR takes the token files and the checkpoints. Needs torch, numpy, tokenizers and safetensors; sample and the export
of the tokenizer need transformers as well.
"""
import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from corpus import Grammar, stories

OUT = Path(__file__).resolve().parent.parent
VOCAB, HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, MLP = 1024, 192, 8, 8, 4, 32, 512
POSITIONS, EPS, THETA = 2048, 1e-5, 10000.0
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
TRAIN_SEED, VALID_SEED, HELDOUT_SEED = 20261123, 7, 11


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
    return tokenizer


def encode(tokenizer, corpus):
    """All stories in a row, each as BOS ... EOS, and where each one starts."""
    eos = tokenizer.token_to_id(EOS)
    rows = [np.array(e.ids + [eos], dtype=np.uint16) for e in tokenizer.encode_batch(corpus)]
    starts = np.cumsum([0] + [len(r) for r in rows[:-1]])
    return np.concatenate(rows), starts.astype(np.int64)


def make_data(work, count):
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
    write_heldout()


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
    """Rows of tokens that each begin at the start of a story, so that position 0 is always BOS."""

    def __init__(self, path):
        data = np.load(path)
        self.tokens, self.starts, self.next = torch.from_numpy(data["tokens"].astype(np.int64)), data["starts"], 0

    def batch(self, rows, length):
        out = []
        for _ in range(rows):
            if self.next + length + 1 > len(self.tokens):
                self.next = 0
            out.append(self.tokens[self.next:self.next + length + 1])
            after = np.searchsorted(self.starts, self.next + length)
            self.next = int(self.starts[after]) if after < len(self.starts) else 0
        return torch.stack(out)


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

    def forward(self, tokens, targets):
        x = self.embed_tokens(tokens)
        cos, sin = self.cos[:tokens.shape[1]].to(x.dtype), self.sin[:tokens.shape[1]].to(x.dtype)
        for layer in self.layers:
            x = layer(x, cos, sin)
        logits = F.linear(self.norm(x), self.embed_tokens.weight)
        return F.cross_entropy(logits.view(-1, VOCAB).float(), targets.reshape(-1))


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


def shape_at(done, args):
    """Rows and length of a batch: the last part is trained on rows of full length."""
    length = POSITIONS if done >= 1 - args.long_part else args.length
    return args.tokens // length, length


def loss_of(model, rows):
    return model(rows[:, :-1], rows[:, 1:])


@torch.no_grad()
def validate(model, work, length=512, batches=12):
    rows = Rows(work / "valid.npz")
    return float(np.mean([loss_of(model, rows.batch(16, length)).item() for _ in range(batches)]))


def save(path, model, average, optimizer, rows, step, seen):
    state = {"model": model.state_dict(), "average": average, "optimizer": optimizer.state_dict(),
             "next": rows.next, "step": step, "seen": seen}
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def fit(args):
    torch.manual_seed(TRAIN_SEED)
    torch.set_num_threads(args.threads)
    model, rows, step, seen = Llama(), Rows(args.work / "train.npz"), 0, 0
    optimizer = make_optimizer(model, args)
    average = {n: p.detach().clone() for n, p in model.named_parameters()}
    checkpoint = args.work / "checkpoint.pt"
    if args.resume:
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average, rows.next, step, seen = state["average"], state["next"], state["step"], state["seen"]
    run = torch.compile(model, dynamic=False) if args.compile else model
    started, before, recent = time.time(), seen, []
    while (done := share_done(step, started, args)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate(step, done, args)
        batch = rows.batch(*shape_at(done, args))
        loss = loss_of(run if batch.shape[1] <= args.length + 1 else model, batch)  # the few long rows: no second compile
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step, seen = step + 1, seen + batch.numel() - len(batch)
        torch._foreach_lerp_(list(average.values()), [p.detach() for p in model.parameters()], 0.01)
        recent.append(loss.item())
        if step % 20 == 0:
            speed = (seen - before) / (time.time() - started)
            print(f"step {step} loss {np.mean(recent[-20:]):.4f} tokens {seen} {speed:.0f}/s lr {rate(step, done, args):.2e}",
                  flush=True)
        if step % args.save_every == 0:
            save(checkpoint, model, average, optimizer, rows, step, seen)
        if step % args.validate_every == 0:
            print(f"step {step} validation loss {validate(model, args.work):.4f}", flush=True)
    save(checkpoint, model, average, optimizer, rows, step, seen)
    export(args.work, average=False)


# --- export ---

def export(work, average):
    from safetensors.torch import save_file

    state = torch.load(work / "checkpoint.pt", weights_only=True)
    weights = state["average"] if average else state["model"]
    tensors = {f"model.{n}": w.to(torch.bfloat16).contiguous() for n, w in weights.items()}
    save_file(tensors, OUT / "model.safetensors", metadata={"format": "pt"})
    tokenizer = json.loads((work / "tokenizer.json").read_text())
    (OUT / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    ids = {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    write_json("config.json", model_config(ids))
    write_json("generation_config.json", {
        "bos_token_id": ids[BOS], "eos_token_id": ids[EOS], "pad_token_id": ids[EOS],
        "do_sample": True, "temperature": 0.8, "top_p": 0.95, "max_new_tokens": 600})
    write_json("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS, "pad_token": EOS,
        "model_max_length": POSITIONS, "clean_up_tokenization_spaces": False, "add_bos_token": True})
    model = Llama()
    model.load_state_dict({n: t.float() for n, t in ((k[len("model."):], v) for k, v in tensors.items())})
    print(f"exported step {state['step']}, {state['seen']} tokens seen; validation loss of the exported weights "
          f"{validate(model, work):.4f} nats a token")


def model_config(ids):
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCAB, "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM, "intermediate_size": MLP, "max_position_embeddings": POSITIONS,
        "rms_norm_eps": EPS, "rope_theta": THETA, "rope_scaling": None, "hidden_act": "silu",
        "tie_word_embeddings": True, "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False,
        "initializer_range": 0.02, "use_cache": True, "torch_dtype": "bfloat16",
        "bos_token_id": ids[BOS], "eos_token_id": ids[EOS], "pad_token_id": ids[EOS]}


def write_json(name, value):
    (OUT / name).write_text(json.dumps(value, indent=2) + "\n")


def sample(args):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(OUT), AutoModelForCausalLM.from_pretrained(OUT)
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
    parser.add_argument("what", choices=["data", "fit", "export", "sample"])
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--stories", type=int, default=100000)
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
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--average", action="store_true", help="export the running average of the weights")
    parser.add_argument("--prompt", action="append")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-new-tokens", type=int, default=700)
    args = parser.parse_args()
    if args.what == "data":
        make_data(args.work, args.stories)
    elif args.what == "fit":
        fit(args)
    elif args.what == "export":
        export(args.work, args.average)
    else:
        sample(args)


if __name__ == "__main__":
    main()
