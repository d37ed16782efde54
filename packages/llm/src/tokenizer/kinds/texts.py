"""Texts that tell tokenizers apart, the same each time for one seed."""
import random

WORDS = """the and of to in a is that for it was on are as with his they at be this have from or one had by word but not what all were
we when your can said there use an each which she do how their if will up other about out many then them these so some her would make
like him into time has look two more write go see number no way could people my than first water been call who its now find long down
day did get come made may part over new sound take only little work know place year live me back give most very after thing our just name
good sentence man think say great where help through much before line right too mean old any same tell boy follow came want show also
around form three small set put end does another well large must big even such because turn here why ask went men read need land
function return const import class print range index value string number true false null undefined async await""".split()

SCRIPTS = [
    "Hello, world!", "Zoë saw a naïve façade.", "Příliš žluťoučký kůň úpěl ďábelské ódy.", "Быстрая коричневая лиса прыгает.",
    "Ἡ μῆνις ἄειδε θεά", "שלום עולם, מה נשמע?", "مرحبا بالعالم ١٢٣٤", "سلام دنیا ۱۲۳۴۵", "हिन्दी में १२३ शब्द हैं।", "বাংলা ভাষা ৪৫৬", "தமிழ் மொழி",
    "ภาษาไทยไม่มีวรรค ๑๒๓", "မြန်မာဘာသာ", "ខ្មែរ", "ລາວ", "བོད་ཡིག", "ქართული ენა", "Հայերեն լեզու", "አማርኛ ቋንቋ", "ᏣᎳᎩ", "中文文本，没有空格。", "繁體中文測試",
    "日本語のテキスト、カタカナ。", "한국어 문장입니다.", "한국어", "ｆｕｌｌ　ｗｉｄｔｈ　１２３", "ﬁne ﬂuﬀy ligatures", "Ⅷ ½ ⅔ ² ³ ¹ ①②③ ㉑", "İstanbul ıI ǅ ß ẞ ſ",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛", "𐍈𐌰𐌹", "𒀀𒁀", "Ω ≈ ç √ ∫ ∑ € £ ¥ ₹ ₿", "→ ⇒ ✓ ✗ ★ ☃ ♞",
]
EMOJI = ["🦊", "👩‍👩‍👧‍👦", "👍🏽", "🏳️‍🌈", "🇩🇪🇫🇷", "1️⃣2️⃣", "❤️", "👨🏿‍🚀", "😀😃😄", "🧑‍💻🫠", "©️™️", "\U0001F9FF\uFE0F\u200D"]
MARKS = ["e\u0301e\u0300", "a\u0323\u0307", "o\u0308\u0304\u0301", "\u0301start", "n\u0303 Å A\u030a \u212b", "Z̸̡̛a̵l̶g̷o̸", "\u1100\u1161\u11a8", "ก็ที่", "क्षि"]
INVISIBLE = ["\ufeff", "\ufeffBOM first", "in\ufeffside", "zero\u200bwidth", "no\u2060break", "\u200e\u200fmarks\u202a\u202c", "soft\u00adhyphen", "\u00a0nbsp\u00a0", "\u2003em\u2002en\u2009thin", "\u3000ideographic\u3000", "line\u2028sep\u2029par", "\u0085next\u0085", "\u180e", "\u115f\u3164"]
CONTROL = ["\x00", "nul\x00in", "\x01\x02\x03", "bell\x07 back\x08", "\x1b[31mred\x1b[0m", "\x7fdel", "\x80\x9f", "\x0b\x0c", "\x1c\x1d\x1e\x1f", "tab\tand\rreturn\r\nand\n", "\ue000\uf8ff", "\ufffe\uffff", "\ufffd", "\U0010ffff", "\U000e0041"]
SURROGATES = ["\ud800", "a\udc00b", "\ud83d", "x\udfff \ud800 y", "\udc00\ud800"]
SPACES = [" ", "  ", "   ", " " * 7, " " * 16, " " * 63, "\n", "\n\n", "\n" * 9, "\t\t\t", " \n \n ", "\r\n\r\n", "a" + " " * 20 + "b", "  lead", "trail  ", " \t \t x", "x\n    y\n        z", "\n \t"]
NUMBERS = ["0", "12", "123", "1234", "12345678901", "3.14159", "1,000,000.00", "-7e10", "0x1F", "2024-01-31", "١٢٣٤٥٦", "१२३४५", "๑๒๓๔", "１２３４", "𝟏𝟐𝟑", "²³⁴", "ⅣⅤ", "½¼", "12a34b", "v1.2.3-rc4", "100%", "㊿", "೧೨೩", "〇一二三"]
ENGLISH = ["don't can't I'm you're we've he'll she'd", "DON'T CAN'T I'M YOU'RE", "it’s o’clock", "'tis 'twas", "a 's b 't", "do n't , he 's . ok ?", "x ' y ' z", "wait...what?!", "\"quoted\" 'single'", "``tex''", "end.Next", "e.g. i.e. etc.", "semi;colon:and-dash—em–en", "snake_case camelCase PascalCase SCREAMING", "http://example.org/a?b=c&d=%20#e", "me@example.org", "C:\\path\\file", "<b>bold</b>", "{\"k\": [1, 2, {}]}", "if (a<b) { return a>>1; } // ok", "for i in range(10):\n\tprint(i)", "a/b//c/*d*/", "!!!???...", "((()))[[]]{{}}", "~`@#$%^&*_+-=|", "$x+y^2<=z|w~", "ABCdefGHI", "IPhone iOS McDonald", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
SPECIAL = ["<s>", "</s>", "<unk>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|eot_id|>", "[CLS]", "[SEP]", "[MASK]", "<mask>", "<pad>", "<bos>", "<extra_id_0>", "<tool_call>", "<word>", ">>TITLE<<", "[INST]", "▁<PRE>", "▁", "▁▁", "Ġ", "ĠĠ", "Ċ", "</w>", "##ing", "<0x0A>", "<0xE4>", "<S>", "<|IM_START|>", "< s >", "｟x｠"]
SPECIAL_IN_TEXT = ["a<s>b", " <s> ", "x </s>", "</s>\n", "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", "<|endoftext|><|endoftext|>", "[CLS] hello [SEP]", "pre[MASK]post", "a <mask> b", "a<mask>b", "[INST] hi [/INST] ok</s>", "the <word> is", "the<word>is", "<word>s", "s<word>", "(<word>)", "é<word>é", "<word>_", "fill <extra_id_0> in <extra_id_1>", "x>>TITLE<<y", "   <|im_end|>   ", "<s", "s>", "<<s>>", "<|im_<|im_end|>start|>", "\ufeff<s>", "<s>\u0301", "</s>\u200b", "word ▁x▁ y", "Ġa Ċb"]


def fixed():
    return [""] + SCRIPTS + EMOJI + MARKS + INVISIBLE + CONTROL + SURROGATES + SPACES + NUMBERS + ENGLISH + SPECIAL + SPECIAL_IN_TEXT


def composed(random_source):
    """A text of parts of every sort, some of them cut apart or glued together."""
    pools = [WORDS, WORDS, WORDS, SCRIPTS, EMOJI, MARKS, INVISIBLE, CONTROL, SPACES, NUMBERS, ENGLISH, SPECIAL, SPECIAL_IN_TEXT]
    parts = []
    for _ in range(random_source.randint(1, 7)):
        part = random_source.choice(random_source.choice(pools))
        if random_source.random() < 0.2:
            part = part[random_source.randrange(len(part) + 1):]
        if random_source.random() < 0.2:
            part = part.upper() if random_source.random() < 0.5 else part.title()
        parts.append(part)
        if random_source.random() < 0.6:
            parts.append(" ")
    return "".join(parts)[:120]


def anything(random_source):
    """A text of characters from anywhere."""
    ranges = [(0x20, 0x7f), (0x20, 0x7f), (0, 0x300), (0x300, 0x370), (0x370, 0x1100), (0x1100, 0x3000), (0x3000, 0xd800), (0xe000, 0x10000), (0x10000, 0x20000), (0x1f000, 0x1fb00), (0xd800, 0xe000)]
    return "".join(chr(random_source.randrange(*random_source.choice(ranges))) for _ in range(random_source.randint(0, 24)))


def texts(count, seed):
    random_source = random.Random(seed)
    found = list(dict.fromkeys(fixed()))
    while len(found) < count:
        text = composed(random_source) if random_source.random() < 0.75 else anything(random_source)
        if text not in found:
            found.append(text)
    return found[:count]


def random_texts(count, seed):
    random_source = random.Random(seed)
    return [composed(random_source) if random_source.random() < 0.5 else anything(random_source) for _ in range(count)]
