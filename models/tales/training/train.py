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
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from data import BOS, EOS, ROLES, TRAIN_SEED, Rows, make_data
from llama import POSITIONS, Llama, load_weights, model_config
from measure import measure, validate

OUT = Path(__file__).resolve().parent.parent
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('this model knows the roles system, user and assistant, not ' + message.role) }}{% endif %}"
    "{{ '<|' + message.role + '|>' }}{{ message.content | trim }}{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}")


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
    write_json(out / "config.json", model_config(ids[BOS], ids[EOS]))
    write_json(out / "generation_config.json", {
        "bos_token_id": ids[BOS], "eos_token_id": ids[EOS], "pad_token_id": ids[EOS],
        "do_sample": True, "temperature": 0.8, "top_p": 0.95, "max_new_tokens": 600})
    write_json(out / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS, "pad_token": EOS,
        "additional_special_tokens": ROLES, "model_max_length": POSITIONS, "clean_up_tokenization_spaces": False,
        "add_bos_token": True, "chat_template": TEMPLATE})


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
        make_data(args.work, args.out, args.stories, args.chats)
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
