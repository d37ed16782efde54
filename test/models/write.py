"""Writes the models of random weights in this folder, and what Hugging Face transformers computes for them.

    python write.py [FAMILY ...]        needs torch, transformers and safetensors; all families by default

FAMILY/config.json and model.safetensors are the model, float32. FAMILY/expected.json has a list of prompts (token ids), each
with the logits after its last token and the greedy tokens that follow. Eager attention, float32 throughout. A prompt is drawn
again while two tokens are so nearly as likely as each other that the order of a sum could decide between them.
"""
import json
import pathlib
import sys

import torch
import transformers

SEED = 15
PROMPT_LENGTHS = (1, 7, 33, 130, 512)
GREEDY_TOKENS = 32
SMALLEST_GAP = 1e-3  # of the two largest logits, the tolerance of the tests

COMMON = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 4,
    "vocab_size": 320, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "initializer_range": 0.15,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False,
}
FAMILIES = {
    "llama": (transformers.LlamaConfig, {}),
    "llama-tied": (transformers.LlamaConfig, {"tie_word_embeddings": True}),
    "llama-biased": (transformers.LlamaConfig, {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 8}),
    "llama3-rope": (transformers.LlamaConfig, {"rope_parameters": {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}}),
    # Sizes that no plan divides, and YaRN.
    "llama-odd": (transformers.LlamaConfig, {
        "hidden_size": 60, "intermediate_size": 90, "num_hidden_layers": 5, "num_attention_heads": 6,
        "num_key_value_heads": 3, "head_dim": 20, "vocab_size": 301,
        "rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "original_max_position_embeddings": 64}}),
    "mistral-window": (transformers.MistralConfig, {"sliding_window": 24}),
    "qwen2": (transformers.Qwen2Config, {"tie_word_embeddings": True}),
    "qwen3": (transformers.Qwen3Config, {"head_dim": 16, "num_hidden_layers": 5}),
}


def random_model(kind, fields):
    model = transformers.AutoModelForCausalLM.from_config(
        kind(**{**COMMON, **fields}),
        dtype=torch.float32, attn_implementation="eager")
    for parameter in model.parameters():
        if parameter.ndim == 1:  # norms start as ones and biases as zeros: as those, leaving one out would not show
            parameter.data += 0.1 * torch.randn(parameter.shape)
    return model.eval()


def continued(model, prompt):
    """The logits after a prompt, its greedy continuation, and how near any choice in it was."""
    tokens, first, gap = list(prompt), None, float("inf")
    while len(tokens) < len(prompt) + GREEDY_TOKENS:
        logits = model(torch.tensor([tokens])).logits[0, -1]
        first = logits if first is None else first
        best, second = logits.topk(2).values.tolist()
        gap = min(gap, best - second)
        tokens.append(int(logits.argmax()))
    return first, tokens[len(prompt):], gap


def expectation(model, length):
    for _ in range(50):
        prompt = [1] + torch.randint(3, model.config.vocab_size, (length - 1,)).tolist()
        logits, greedy, gap = continued(model, prompt)
        if gap >= SMALLEST_GAP:
            return {"prompt": prompt, "logits": [round(value, 6) for value in logits.tolist()], "greedy": greedy}
    return None  # the prompt of one token is the same each time


def write(name):
    torch.manual_seed(SEED)
    model = random_model(*FAMILIES[name])
    found = [expectation(model, length) for length in PROMPT_LENGTHS]
    folder = pathlib.Path(__file__).parent / name
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    expected = {"transformers": transformers.__version__, "prompts": [each for each in found if each]}
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(name, [len(each["prompt"]) for each in expected["prompts"]], flush=True)


if __name__ == "__main__":
    with torch.no_grad():
        for family in sys.argv[1:] or FAMILIES:
            write(family)
