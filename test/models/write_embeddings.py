"""Writes what Hugging Face transformers computes of texts as vectors, for some of the models in this folder.

    python write_embeddings.py      needs torch, transformers and safetensors

FAMILY/embeddings.json has a list of texts (token ids), those of expected.json, each with the hidden states behind the model's last
norm: of its last token, of its first, and their mean. Eager attention, float32 throughout.
"""
import json
import pathlib

import torch
import transformers

FAMILIES = ("llama-odd", "mistral-window", "qwen3")
LENGTHS = (7, 33, 130)


def vector(values):
    return [round(value, 6) for value in values.tolist()]


def write(folder):
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    prompts = [one["prompt"] for one in json.loads((folder / "expected.json").read_text())["prompts"]]
    texts = [prompt for prompt in prompts if len(prompt) in LENGTHS]
    assert len(texts) == len(LENGTHS)
    found = []
    for text in texts:
        states = model(torch.tensor([text])).last_hidden_state[0]
        found.append({"text": text, "last": vector(states[-1]), "first": vector(states[0]), "mean": vector(states.mean(0))})
    (folder / "embeddings.json").write_text(json.dumps(found) + "\n")


with torch.no_grad():
    for name in FAMILIES:
        write(pathlib.Path(__file__).parent / name)
