"""
Writes small tokenizers of the kinds that published models have, and what Hugging Face's Rust library makes of texts with them.

    python make_kinds.py                      the tokenizers, texts.json and expected.json of this folder
    python make_kinds.py FOLDER COUNT SEED    texts and expectations for COUNT random texts, beside copies of the tokenizers;
                                              TOKENIZER_KINDS=FOLDER npx ava packages/llm/dist/tokenizer/kinds.test.js

Needs the Python packages tokenizers 0.23.2 and sentencepiece.
"""
import base64
import hashlib
import io
import json
import pathlib
import shutil
import sys

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from texts import SCRIPTS, WORDS, fixed, random_texts, texts

HERE = pathlib.Path(__file__).parent
TEXTS = 600
SAMPLES = 30
ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = ENDINGS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
CL100K = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
TEKKEN = rf"[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]*[{LOWER}]+|[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]+[{LOWER}]*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = rf"[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]*[{LOWER}]+{ENDINGS}?|[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]+[{LOWER}]*{ENDINGS}?|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DEEPSEEK3 = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

special = lambda content, **flags: AddedToken(content, special=True, normalized=flags.pop("normalized", False), **flags)
plain = lambda content, **flags: AddedToken(content, special=False, normalized=flags.pop("normalized", False), **flags)


def corpus():
    """What the small vocabularies are learnt from."""
    lines = []
    for step in range(1, 40):
        lines.append(" ".join(WORDS[(step * place * place + place) % len(WORDS)] for place in range(40)))
    sound = [text for text in fixed() if not any(0xD800 <= ord(letter) < 0xE000 for letter in text)]
    return lines + [text for text in sound if "<" not in text and "[" not in text] * 2 + SCRIPTS


def split(regex, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(regex), behavior, invert)


def bytes_of(regex=True, prefix=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)


def begins(token, tokenizer):
    return processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A {token}:1 $B:1", special_tokens=[(token, tokenizer.token_to_id(token))])


def byte_level(steps, added, normalizer=None, begin=None, size=520, **model):
    """A byte-level BPE vocabulary that is learnt behind given steps."""
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    tokenizer.decoder = decoders.ByteLevel()
    suffix = {"end_of_word_suffix": model["end_of_word_suffix"]} if "end_of_word_suffix" in model else {}
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **suffix)
    tokenizer.train_from_iterator(corpus(), trainer)
    for token in added:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    trimming = processors.ByteLevel(trim_offsets=False)
    tokenizer.post_processor = processors.Sequence([trimming, begins(begin, tokenizer)]) if begin else trimming
    return tokenizer


def sentencepiece_bpe(normalizer, pre_tokenizer, decoder, added, begin=None, size=420):
    """A vocabulary with a piece for each byte, spaces as ▁."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    learner.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=size, limit_alphabet=150, show_progress=False))
    learnt = json.loads(learner.to_str())["model"]
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + sorted(learnt["vocab"], key=learnt["vocab"].get)
    model = models.BPE({piece: id for id, piece in enumerate(pieces)}, [tuple(pair) for pair in learnt["merges"]], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder
    for token in [special("<unk>"), special("<s>"), special("</s>")] + added:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    if begin:
        tokenizer.post_processor = begins(begin, tokenizer)
    return tokenizer


def rules():
    """Some of the rules of nmt_nfkc, which in full are too large to keep."""
    found = {"\x01": "", "\x7f": "", "\u200b": " ", "\ufeff": "", "\u00a0": " ", "\u3000": " ", "\t": " ", "\n": " ", "\r": " ", "\u2028": " ", "\ufffd": " "}
    found |= {chr(0xFF01 + code): chr(0x21 + code) for code in range(94)}
    found |= {"ﬁ": "fi", "ﬂ": "fl", "½": "1⁄2", "²": "2", "①": "1", "\u212b": "\u00c5", "e\u0301": "\u00e9", "A\u030a": "\u00c5", "…": "...", "ﷺ": "صلى الله عليه وسلم", "㍿": "株式会社"}
    return found


def unigram(folder, normalizer_before=(), size=400):
    """What SentencePiece learns, with its own table of characters to replace."""
    table = folder / "rules.tsv"
    code = lambda text: " ".join(f"{ord(letter):X}" for letter in text)
    table.write_text("".join(f"{code(source)}\t{code(target)}\n" for source, target in rules().items()))
    lines = [line for line in corpus() if "\x00" not in line and "\n" not in line and line.strip()]
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=written, vocab_size=size, hard_vocab_limit=False, character_coverage=0.98, normalization_rule_tsv=str(table), minloglevel=2, num_threads=1)
    table.unlink()
    from sentencepiece import sentencepiece_model_pb2 as protocol
    model = protocol.ModelProto()
    model.ParseFromString(written.getvalue())
    charsmap = model.normalizer_spec.precompiled_charsmap
    pieces = [("<pad>", 0.0)] + [(piece.piece, round(piece.score, 4)) for piece in model.pieces]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=1, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([*normalizer_before, normalizers.Precompiled(charsmap)])
    return tokenizer


def t5(folder):
    tokenizer = unigram(folder)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens([special("</s>"), special("<unk>"), special("<pad>"), special("<extra_id_0>", lstrip=True, rstrip=True), special("<extra_id_1>")])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))])
    return tokenizer


def xlm_roberta(folder):
    tokenizer = unigram(folder)
    tokenizer.normalizer = normalizers.Sequence([tokenizer.normalizer, normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens([special("<s>"), special("</s>"), special("<mask>", lstrip=True, normalized=True)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")])
    return tokenizer


def albert(folder):
    tokenizer = unigram(folder, [normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([special("[CLS]"), special("[SEP]"), special("[MASK]", lstrip=True)])
    return tokenizer


def bert(lowercase):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(corpus(), trainers.WordPieceTrainer(vocab_size=700, limit_alphabet=300, special_tokens=names, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")])
    return tokenizer


def word_level():
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(), normalizers.Nmt()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.UnicodeScripts()])
    tokenizer.train_from_iterator(corpus(), trainers.WordLevelTrainer(vocab_size=600, special_tokens=["<unk>", "<s>"], show_progress=False))
    tokenizer.add_tokens([plain("<word>", single_word=True)])
    return tokenizer


def clip():
    tokenizer = byte_level(
        [split(CLIP, "removed", invert=True), bytes_of(False)], [special("<|endoftext|>"), plain("<word>", single_word=True, normalized=True)],
        normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]), continuing_subword_prefix="", end_of_word_suffix="</w>")
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    return tokenizer


def roberta():
    tokenizer = byte_level([bytes_of()], [special("<s>"), special("</s>"), special("<mask>", lstrip=True, normalized=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")), trim_offsets=True, add_prefix_space=False)
    return tokenizer


def kinds(folder):
    prepend = lambda: normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    spaces = lambda: [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    strip = lambda: decoders.Strip(" ", 1, 0)
    chat = [special("<|endoftext|>"), special("<|im_start|>"), special("<|im_end|>")]
    runs = [plain(" " * length, normalized=True) for length in range(24, 1, -1)]
    digits = pre_tokenizers.Digits(individual_digits=True)
    return {
        "llama-2": lambda: sentencepiece_bpe(prepend(), None, decoders.Sequence(spaces() + [strip()]), [], "<s>"),
        "codellama": lambda: sentencepiece_bpe(prepend(), None, decoders.Sequence(spaces() + [strip()]), [special("▁<PRE>"), special("▁<SUF>"), plain("<word>", lstrip=True, rstrip=True)], "<s>"),
        "mistral-v1": lambda: sentencepiece_bpe(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False), decoders.Sequence(spaces() + [strip()]), [special("[INST]"), special("[/INST]")], "<s>"),
        "gemma": lambda: sentencepiece_bpe(normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous"), decoders.Sequence(spaces()), [special("<bos>"), plain("\n\n"), plain("\n\n\n"), plain("▁▁"), plain("▁▁▁▁"), plain("<b>")], "<bos>"),
        "llama-3": lambda: byte_level([split(LLAMA3), bytes_of(False)], [special("<|begin_of_text|>"), special("<|eot_id|>")], begin="<|begin_of_text|>", ignore_merges=True),
        "gpt-2": lambda: byte_level([bytes_of()], [special("<|endoftext|>", normalized=True)]),
        "qwen-2": lambda: byte_level([split(QWEN2), bytes_of(False)], chat + [plain("<tool_call>")], normalizers.NFC()),
        "tekken": lambda: byte_level([split(TEKKEN), bytes_of(False)], [special("<s>"), special("</s>"), special("[INST]")], begin="<s>", ignore_merges=True),
        "phi-2": lambda: byte_level([bytes_of()], chat[:1] + runs + [plain("\t" * 3, normalized=True)]),
        "deepseek-llm": lambda: byte_level([split(r"[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[一-龥ࠀ-一가-퟿]+"), digits, bytes_of(False)], [special("<s>")], begin="<s>"),
        "deepseek-v3": lambda: byte_level([split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK3), bytes_of(False)], [special("<s>"), plain("<word>")], normalizers.Sequence([]), begin="<s>"),
        "falcon": lambda: byte_level([pre_tokenizers.Punctuation("contiguous"), bytes_of(), pre_tokenizers.Digits(individual_digits=False), split("[0-9][0-9][0-9]")], [special(">>TITLE<<"), special("<|endoftext|>")]),
        "starcoder": lambda: byte_level([digits, bytes_of()], chat),
        "smollm": lambda: byte_level([digits, bytes_of()], chat, size=480),
        "granite": lambda: byte_level([split(LLAMA3), bytes_of(False)], chat + [plain("<word>", single_word=True)]),
        "command-r": lambda: byte_level([digits, bytes_of()], [special("<pad>"), special("<unk>")], normalizers.NFC(), size=480),
        "bloom": lambda: byte_level([split(BLOOM), bytes_of(False)], [special("<s>"), special("</s>")]),
        "gpt-neox": lambda: byte_level([bytes_of()], chat[:1] + runs, normalizers.NFC()),
        "opt": lambda: byte_level([bytes_of()], [special("</s>", normalized=True), special("<pad>", normalized=True)], begin="</s>"),
        "roberta": roberta,
        "cl100k": lambda: byte_level([split(CL100K, "removed", invert=True), bytes_of(False)], chat),
        "o200k": lambda: byte_level([split(O200K), bytes_of(False)], chat, ignore_merges=True),
        "split-behaviors": lambda: byte_level([split(r"\d+", "merged_with_next"), split("[aeiou]", "merged_with_previous"), split(r"\W", "contiguous"), bytes_of(False, True)], [plain("<word>", single_word=True), special("<s>", lstrip=True), special("</s>", rstrip=True)]),
        "clip": clip,
        "t5": lambda: t5(folder),
        "xlm-roberta": lambda: xlm_roberta(folder),
        "albert": lambda: albert(folder),
        "bert-uncased": lambda: bert(True),
        "bert-cased": lambda: bert(False),
        "word-level": word_level,
    }


def digest(*values):
    return hashlib.sha256(json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()[:8]


def sound(text):
    """A text as Node.js hands it to native code: pairs of surrogates joined, halves replaced."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def expectations(tokenizer, all_texts, offset):
    """Digests of tokens and text for each text; for some, the tokens themselves and a digest of the text at each cut."""
    whole, samples = [], {}
    for index, text in enumerate(all_texts):
        ids = tokenizer.encode(sound(text)).ids
        whole.append(digest(ids, tokenizer.decode(ids)))
        if (index + offset) % (len(all_texts) // min(SAMPLES, len(all_texts))) == 0:
            cuts = [tokenizer.decode(ids[:end]) for end in range(len(ids) + 1)]
            samples[index] = {"ids": ids, "text": cuts[-1], "cuts": digest(cuts)}
    return {"whole": "".join(whole), "samples": samples}


def write(path, value):
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


def main():
    if len(sys.argv) == 1:
        for name, make in kinds(HERE).items():
            (HERE / f"{name}.json").write_text(json.dumps(json.loads(make().to_str()), ensure_ascii=False, separators=(",", ":")) + "\n")
        folder, all_texts = HERE, texts(TEXTS, 1)
    else:
        folder, all_texts = pathlib.Path(sys.argv[1]), random_texts(int(sys.argv[2]), int(sys.argv[3]))
        folder.mkdir(parents=True, exist_ok=True)
        for name in kinds(HERE):
            shutil.copy(HERE / f"{name}.json", folder)
    write(folder / "texts.json", all_texts)
    names = list(kinds(HERE))
    write(folder / "expected.json", {name: expectations(Tokenizer.from_file(str(folder / f"{name}.json")), all_texts, offset) for offset, name in enumerate(names)})


main()
