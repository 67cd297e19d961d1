#!/usr/bin/env python3
"""Write tokens.txt and vocabulary.txt: what OpenAI's own tokenizer says of several thousand texts.

    python3 -m venv .venv && . .venv/bin/activate
    pip install --no-deps clip-anytorch==2.6.0 && pip install ftfy==6.3.1 regex
    python make_tokens.py                       # writes the two files beside this script
    python make_tokens.py --random 100000 --seed 3 > FILE    # instead: this many random texts

tokens.txt has a line for each text: the text, as JSON without the quotes and in ASCII; a tab; its ids
without start and end token and not cut off, as hexadecimal numbers with a space between them.
vocabulary.txt has the 64-bit FNV-1a hash of the 49,408 entries of upstream's encoder, in the order of
their ids and each followed by a line break, in UTF-8.

Made with Python 3.11 (Unicode 14) and regex 2026.11.15. Texts hold no character assigned
after Unicode 14, since that is where versions of Python, regex and Swift differ.
"""
import argparse
import html
import html.entities
import importlib.metadata
import importlib.util
import json
import pathlib
import random
import sys
import unicodedata

HERE = pathlib.Path(__file__).resolve().parent

SCRIPTS = """
a photo of a dog|Two cats, sleeping on a RED sofa!|It's a girl's, don't we'll they've I'm he'd you're
IT'S DON'T WE'LL THEY'VE I'M HE'D YOU'RE rock'n'roll 'tis '80s o'clock ''s 'S 'ſ 'LL 'RE 'Ve
Ångström ÅNGSTRÖM naïve façade Øresund Łódź Þingvellir ĦĠ ǅ ǆ Straße ẞ ﬀ ﬁ ﬂ ﬃ ﬄ ﬅ ﬆ ĳ ŉ
Ο ΟΔΥΣΣΕΥΣ ΠΑΣ ΣΑΣ Σ ΣΣ ΑΣ. ΑΣ' ΑΣ'Α ΑΣ\u0301 Α\u0301Σ 1Σ ΑΣ1 ΑΣ:Σ άέήίόύώϊϋΐΰ ᾳ ᾼ Ὀδυσσεύς α\u0345 \u0345
Съешь же ещё этих мягких французских булок, да выпей чаю. ЁЖИК Ґанок Їжак Ђорђе
مرحبا بالعالم ١٢٣٤٥٦٧٨٩٠ لا إله ﷽ ﻻ \u200fנכון\u200f שָׁלוֹם עולם
नमस्ते दुनिया १२३४५ क़ ज़ স্বাগতম ਸਤ ਸ੍ਰੀ தமிழ் ౧౨౩ ಕನ್ನಡ മലയാളം සිංහල
สวัสดีชาวโลก ๑๒๓ ລາວ ကမ္ဘာ ខ្មែរ བོད་ཡིག འབྲུག
日本語の写真 カタカナ ｶﾀｶﾅ ﾊﾟ が か\u3099 ㌔ ㈱ ① ⑳ Ⅷ ⅷ ½ ² ³ ㊗ 漢字 简体字 繁體字 々〆〇
한국어 사진 \u1112\u1161\u11ab\u1100\u116e\u11a8 ﾡﾢ ￡ ￥ ￣ ＬＯＵＤ　ＮＯＩＳＥＳ １２３ ！＂＇
ქართული ᲥᲐᲠᲗᲣᲚᲘ Հայերեն እንቋዕ ᏣᎳᎩ ꮳꮃꭹ ᐃᓄᒃᑎᑐᑦ ᚠᚢᚦ ⴰⵎⴰⵣⵉⵖ ߒߞߏ 𐐀𐐨 𝒥𝓸𝕙𝖓 𝟘𝟙𝟚 𞤀𞤢 𒀀 𓀀
🚀 emoji 🐈‍⬛ 👨‍👩‍👧‍👦 🇩🇪🇫🇷 🏴󠁧󠁢󠁷󠁬󠁳󠁿 ❤️ ❤ 👍🏽 ☝🏿 1️⃣ #️⃣ ©️ ™ ♀️
“quoted” ‘single’ ‚low’ „low” ‟x‟ ‛y‛ «guillemets» ‹x› … – — ― • ′ ″ ʼ
1234567890 3.14 $5 50% 1,000,000 1st 2nd 3rd 10³ x² H₂O №5 ½ cup 0x1F 1e-5 +49 (30) 12:30
<|startoftext|> <|endoftext|> <|STARTOFTEXT|> <|EndOfText|> a<|endoftext|>b !<|endoftext|> <|ſtartoftext|> <|startoftext| |>
http://example.org/a_b?c=d&e=f#g user@example.com C++ C# .NET a/b\\c {x:[1,2]} ~`!@#$%^&*()-_=+;:"<>?,./|
e\u0301 a\u0308 o\u0302\u0301 q\u0307\u0323 \u0344 \u212b \u2126 \u1e9b\u0323 \u0958 \ufb1d \u0f73 \u0340 \u1100\u1161 \uac00\u11a8 \ud55c\u11a8
İstanbul IĞDIR ı İİ i\u0307 ǰ ŉ K Å ſ ﬅ ẖ Ω µ ς ϐ ϑ ϕ
zero\u200bwidth \u200cnon\u200djoiner \u2060word \ufeffbom soft\xadhyphen \u180e mongol \u061c
tab\tline\nfeed\r\ncrlf\rcr\x0bvt\x0cff\x85nel\u2028ls\u2029ps \xa0nbsp\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000end
\x1b[36;44mI'm blue\x1b[0m \x1b[m \x1b[1;2 \x1b[K \x1b[٣m \x1b]0;t\x07 \x1b[31;
\x00\x01\x08\x0e\x1f\x7f\x80\x81\x85\x8d\x90\x91\x92\x9d\x9f \x1c\x1d\x1e\x1f x\x1cy
""".strip("\n").replace("|I", "\nI").split("\n")

HTML = """
&lt;b&gt; &amp;amp; tag|&amp;lt;&amp;gt;|&amp;amp;amp;amp;|&eacute;&EACUTE;&Eacute;&eACUTE;|P&EACUTE;REZ BUNDESSTRA&SZLIG;E
&notit; &notin; &not &notX &amp &ampx &AMP; &Amp; &copy2024 &copy; &COPY; &copyright|this&not that|AT&T AT&amp;T R&D
&#65; &#x41; &#X41; &#65 &#x41 &#065; &#0; &#1; &#8; &#13; &#10; &#27; &#128; &#129; &#150; &#x80; &#x9f; &#xa0;
&#xd800; &#xdfff; &#x110000; &#x10ffff; &#xfffe; &#xfdd0; &#99999999999999999999; &#59; &#x3b; &#38;#38; &#12ab; &#; &#x; &#xg;
<b>&eacute;</b> &lt; <|&eacute; then < later\nsecond line &eacute;\nthird|first &eacute;\nsecond < &eacute;\nthird &eacute;|&nbsp;&nbsp;x&nbsp;
&CounterClockwiseContourIntegral; &NotEqualTilde; &fjlig; &ThickSpace; &acE; &bne; &zwnj; &shy; &NewLine; &Tab;|&a&zwj;mp; &am&#1;p; &am&#xFEFF;p;#65;
&\x1b[0mamp; &amp;eacute; &amp;#233; &ampeacute; &amp;amp;eacute; &quot;&apos;&#39;&#x27; &hellip;&mdash;&ldquo;&rdquo;
&LTCC; &GTRDOT; &QUOTX; &NTILDE; &nTILDE; &FRAC12; &NAPOS; &ALPHA; &MICRO; &YUML; &FFLIG; &SUP3; &LT &LT; &lt
""".strip("\n").replace("|", "\n").replace("\\n", "\n").split("\n")

MOJIBAKE = [
    "schÃ¶n", "âœ” No problems", "&macr;\\_(ã\x83\x84)_/&macr;", "voilÃ le travail", "Ã la mode",
    "à la carte Ã quele Ã s vezes Ã  la", "â€œ like this â€�", "lâ€™humanitÃ©", "ÃƒÂ¶", "Ãƒâ€šÃ‚Â¶",
    "sÃ³", "Ã³", "â€œmojibakeâ€ and “real” — ok", "It’s fine – really…", "Ñ‚ÐµÑÑ‚", "РїСЂРёРІРµС‚",
    "ÏÎ±", "Î¼Îµ", "Ã Ã\xa0 Ã¡", "â\x80\x9c", "\x91quoted\x92 \x93x\x94 \x85", "caf\x8e", "√© ‚Äì ‚Äú",
    "├⌐ ΓÇö ΓÇ£", "Ä‚Â© ÄŤ", "â‚¬100", "10â‚¬ Â£5 Â© Â°C", "Ã‰cole Ã€ bientÃ´t", "ðŸ˜‚ ðŸ’© ðŸ�½",
    "í\xa0½í¸\x8d í\x95\x9cêµ\xadì\x96´", "À\x80 Ã©", "Ã© À\n", "í\xa0\x80í°\n Ã©", "Ã© í\xa0\x80í°\n", "\x1aÃ©",
    "(╯°□°)╯︵ ┻━┻", "ESPAÃ‘A Ã\x91", "Å¡ Å¾ Å\xa0", "Ã¢â‚¬â„¢", "œuf Œuvre cœur œ. œ", "Ò‰ Ù… Ø§Ù„Ø¹",
    "à¤¹à¤¿à¤¨à¥à¤¦à¥€", "Ã¥ Ã¤ Ã¶ real å ä ö日", "ГўВЂВ™s x", "вЂ™ вЂњ", "Вђ Ђ Р‘", "ā€™ ā€œ", "β€™ β€\xa0",
    "Â Â¿QuÃ© tal?", "Â¡hola!", "a Â  b", "x Ã y", "z. Â z", "× ² ×³", "Ãƒ", "Â", "Ã ", "^Ã x", "AÂ°", "É° É“",
    "l\x92ann\xe9e", "\x81\x8d\x8f\x90\x9dé", "¿Ã©", "�Ã©�", "â€?", "Ã? Ã‚?", "íƒœ", "ì„œìš¸", "ä¸\xadæ–‡ æ—¥æœ¬",
]

REFERENCE = [  # the texts that the parity check encodes
    "man jumping", "cat", "outer space", "a photo of a dog", "room", "", "  two   spaces ",
    "It's a girl's don't we'll they've", "naïve café — “quoted” …", "1234567890 3.14 $5",
    "HELLO World!!!", "日本語の写真", "🚀 emoji 🐈‍⬛", "a\tb\nc", "&lt;b&gt; &amp;amp; tag",
    "red circle, blue square; green-triangle", "x" * 60, "ﬁne ligature", "Ångström ÅNGSTRÖM",
    "sunset over the mountains with a lake in the foreground " * 3,
]

RANGES = [(0x20, 0x7F), (0x80, 0x100), (0x100, 0x250), (0x250, 0x300), (0x300, 0x370),
          (0x370, 0x400), (0x400, 0x530), (0x530, 0x600), (0x600, 0x700), (0x900, 0xE00),
          (0xE00, 0x1200), (0x1200, 0x2000), (0x2000, 0x2100), (0x2100, 0x2C00), (0x3000, 0x3100),
          (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0xF900, 0xFE00), (0xFE00, 0x10000),
          (0x10000, 0x11000), (0x1D000, 0x1E000), (0x1F000, 0x1FB00), (0x0, 0xD800),
          (0xE000, 0x110000)]
CODECS = ["latin-1", "sloppy-windows-1252", "sloppy-windows-1251", "sloppy-windows-1250",
          "sloppy-windows-1253", "sloppy-windows-1254", "sloppy-windows-1257", "iso-8859-2",
          "macroman", "cp437"]
NAMES = sorted(html.entities.html5)


def known(text):
    """Whether all its characters were assigned (or private) in Unicode 14, and are not surrogates."""
    return all(unicodedata.category(c) not in ("Cn", "Cs") or 0xFDD0 <= ord(c) <= 0xFDEF
               for c in text)


def words(rng, fixed=[]):
    if not fixed:
        fixed += [w for line in SCRIPTS + MOJIBAKE + HTML for w in line.split(" ") if w]
        fixed += [c for line in SCRIPTS for c in line]
    return rng.choice(fixed)


def characters(rng, count):
    text = ""
    low, high = rng.choice(RANGES)
    while len(text) < count:
        if rng.random() < 0.2:
            low, high = rng.choice(RANGES)
        character = chr(rng.randrange(low, high))
        if known(character):
            text += character
    return text


def garble(rng, text):
    """Mojibake of a text, perhaps damaged."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        try:
            text = text.encode("utf-8").decode(rng.choice(CODECS))
        except UnicodeError:
            pass
    damage = rng.random()
    if damage < 0.2:
        text = text.replace("\xa0", " ")
    elif damage < 0.35 and text:
        i = rng.randrange(len(text))
        text = text[:i] + rng.choice(["\ufffd", "?", " ", "", "\x1a", "\n"]) + text[i + 1:]
    elif damage < 0.5:
        text += rng.choice([" 日本", "é", "\n", "…", " “ok”", "À\n", "í\xa0\x80í°\n"])
    return text


def entity(rng):
    kind = rng.random()
    if kind < 0.45:
        name = rng.choice(NAMES)
        name = rng.choice([name, name, name.rstrip(";"), name.upper(), name[:-1] + "x"])
        return "&" + name
    if kind < 0.85:
        number = rng.choice([rng.randrange(0x110), rng.randrange(0x3000), rng.randrange(0x120000)])
        if unicodedata.category(chr(min(number, 0x10FFFF))) == "Cn":
            number = 65
        form = rng.choice(["&#%d", "&#x%x", "&#X%X", "&#x%04x", "&#%05d"]) % number
        return form + rng.choice([";", ";", ";", "", " ", "z"])
    return rng.choice(["&amp;", "&amp;amp;", "&lt;", "&", "&#", "<", "&#x", "&;", "&amp;#38;"])


def random_text(rng):
    parts = []
    for _ in range(rng.choice((1, 1, 2, 3, 5, 8))):
        kind = rng.random()
        if kind < 0.35:
            parts.append(words(rng))
        elif kind < 0.55:
            parts.append(characters(rng, rng.randrange(1, 9)))
        elif kind < 0.8:
            source = rng.choice([words(rng), characters(rng, rng.randrange(1, 6))])
            parts.append(garble(rng, source))
        else:
            parts.append(entity(rng))
    text = "".join(p + rng.choice(["", " ", "", "  ", "\n", "'", "\u0301"]) for p in parts)
    return text if known(text) else random_text(rng)


def texts():
    """The texts of tokens.txt."""
    rng = random.Random(20210226)
    yield from REFERENCE + SCRIPTS + HTML + MOJIBAKE
    yield from (w for line in SCRIPTS + HTML for w in line.split(" "))
    for start in range(0, len(NAMES), 12):  # every entity as it is, and in capitals
        some = NAMES[start:start + 12]
        yield " ".join("&" + n for n in some)
        yield " ".join("&" + n.upper() for n in some if n.endswith(";"))
    for start in range(0xFF00, 0x10000, 64):
        yield "".join(chr(c) for c in range(start, start + 64) if known(chr(c)))
    for start in range(0x80, 0x600, 32):  # every Latin, Greek and Cyrillic letter
        yield " ".join(chr(c) for c in range(start, start + 32) if known(chr(c)))
    for number in (76, 77, 150, 1500):
        yield "word " * number
        yield "x" * number
        yield "ha" * number
        yield "!?" * number
        yield "日本語" * (number // 3)
    yield "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(3000))
    yield "".join(rng.choice("etaoinshrdlu") for _ in range(3000))
    for _ in range(4000):
        yield random_text(rng)


def upstream():
    """clip/simple_tokenizer.py, without the rest of the package, which needs PyTorch."""
    files = importlib.metadata.files("clip-anytorch")
    path = next(f for f in files if f.as_posix() == "clip/simple_tokenizer.py").locate()
    spec = importlib.util.spec_from_file_location("simple_tokenizer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--random", type=int, help="print lines for this many random texts")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    module = upstream()
    tokenizer = module.SimpleTokenizer()

    def line(text):
        ids = " ".join(format(i, "x") for i in tokenizer.encode(text))
        return json.dumps(text)[1:-1] + "\t" + ids + "\n"

    def cleaned(text):
        return module.whitespace_clean(module.basic_clean(text)).lower()

    if arguments.random:
        rng = random.Random(arguments.seed)
        written = 0
        while written < arguments.random:
            text = random_text(rng)
            if known(cleaned(text)):  # repairs may make characters newer than Unicode 14
                sys.stdout.write(line(text))
                written += 1
        return
    (HERE / "tokens.txt").write_text("".join(map(line, texts())))
    entries = sorted(tokenizer.encoder, key=tokenizer.encoder.get)
    digest = fnv1a("".join(e + "\n" for e in entries).encode("utf-8"))
    (HERE / "vocabulary.txt").write_text(f"{digest:016x}\n")


if __name__ == "__main__":
    main()
