"""TextGrids: real ones as praatio reads them, made-up ones in every form that Praat allows, and broken ones."""

import random
import time

import pytest

from wav2uti.corpus.formats.textgrid import TextGrid, Tier, read_textgrid, words_and_phones, write_textgrid
from wav2uti.corpus.recording import Interval
from wav2uti.errors import InputError

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "Wörter"
        xmin = 0
        xmax = 2
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 2
            text = "say ""ah"" ! 7 <b>"
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 2
        points: size = 1
        points [1]:
            number = 1.25
            mark = "click"
    item [3]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 2
        intervals: size = 1
        intervals [1]:
            xmin = 1e-1
            xmax = +2.
            text = "ɑ"
"""
SHORT = """File type = "ooTextFile short"
"TextGrid"

0
2
<exists>
3
"IntervalTier"
"Wörter" 0 2 2
0 0.5 ""
0.5 2 "say ""ah"" ! 7 <b>"
! a remark with "quotes" and 12 numbers
"TextTier" "clicks" 0 2 1
1.25 "click"
"IntervalTier" "phones" 0 2 1 1e-1 +2. "ɑ"
"""
EXPECTED = TextGrid(
    (
        Tier("Wörter", (Interval("", 0.0, 0.5), Interval('say "ah" ! 7 <b>', 0.5, 2.0))),
        Tier("phones", (Interval("ɑ", 0.1, 2.0),)),
    )
)


def short(*tiers, head='"ooTextFile" "TextGrid" 0 9 <exists>'):
    """A short TextGrid of tiers (name, labels), each label a tenth of a second."""
    parts = [head, str(len(tiers))]
    for name, labels in tiers:
        parts.append(f'"IntervalTier" "{name}" 0 9 {len(labels)}')
        parts += [f'{i / 10} {(i + 1) / 10} "{label}"' for i, label in enumerate(labels)]
    return "\n".join(parts)


def labels_of(intervals):
    return [interval.label for interval in intervals]


def test_real_ones_are_as_praatio_reads_them(shared):
    textgrid_io = pytest.importorskip("praatio.utilities.textgrid_io")
    paths = sorted(shared.rglob("*.TextGrid"))
    assert len(paths) >= 5
    for path in paths:
        content = path.read_bytes()
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
        oracle = textgrid_io.parseTextgridStr(text.replace("\r\n", "\n"), includeEmptyIntervals=True)
        expected = [
            (tier["name"], [(label, float(start), float(end)) for start, end, label in tier["entries"]])
            for tier in oracle["tiers"]
        ]
        ours = [
            (tier.name, [(interval.label, interval.start, interval.end) for interval in tier.intervals])
            for tier in read_textgrid(path).tiers
        ]
        assert ours == expected, path


@pytest.mark.parametrize(
    ("name", "prompt", "words", "phones"),
    [
        ("File156", "gap", "gap", "beep g a p"),
        ("File009", "na", "na", "beep n O"),
        ("sample_01", "wir fussen", "wir fussen", "v ɪ ɐ f ʊ s ə n"),
        ("sample_02", "Augen", "augen", "a͜u g ə n"),
        ("07F-028A", "watch fishing gloves spider", "", "w O tS f I S I N g 5 V v z s p ae d @ r"),
    ],
)
def test_words_and_phones_of_real_ones(shared, name, prompt, words, phones):
    (path,) = shared.rglob(f"{name}.TextGrid")
    found = words_and_phones(read_textgrid(path), prompt)
    assert [" ".join(labels_of(intervals)) for intervals in found] == [words, phones]


@pytest.mark.parametrize("form", [LONG, SHORT])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_form_in_every_encoding(tmp_path, form, encoding, newline):
    path = tmp_path / "a.TextGrid"
    mark = "\ufeff" if encoding.startswith("utf-16") else ""
    # Macintosh line ends: a comment ends there too.
    path.write_bytes((mark + form.replace("\n", newline)).encode(encoding))
    assert read_textgrid(path) == EXPECTED


def test_older_encodings(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_bytes(short(("mots", ["été", "garçon"])).encode("iso-8859-15"))
    assert labels_of(read_textgrid(path).tiers[0].intervals) == ["été", "garçon"]
    path.write_bytes(short(("词", ["你好", "舌头"])).encode("gbk"))
    assert labels_of(read_textgrid(path).tiers[0].intervals) == ["你好", "舌头"]


def test_text_between_values_is_comment(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(
        'The "ooTextFile" holds a "TextGrid" from 0 to 1 second; there <exists> 1 tier: an "IntervalTier" '
        'called "a" from[3] 0 to 1 with 1 interval from 0 seconds to1 1.0 saying "x\n  y" and more 3 "z"'
    )
    assert read_textgrid(path) == TextGrid((Tier("a", (Interval("x y", 0.0, 1.0),)),))


@pytest.mark.parametrize(
    ("tiers", "text", "words", "phones"),
    [
        ([("Spk1 - words", ["hi", ""]), ("Spk1 - phones", ["h", "aj", "spn"])], "", ["hi"], ["h", "aj"]),
        ([("ORT-MAU", ["hi"]), ("KAN-MAU", ["haI"]), ("MAU", ["<p:>", "h", "aI"])], "", ["hi"], ["h", "aI"]),
        ([("Phonemes", ["h"]), ("notes", ["?"])], "", [], ["h"]),
        ([("word", ["a"]), ("A - words", ["a", "b"])], "", ["a", "b"], []),  # the fullest
        ([("x", ["h", "aI"]), ("y", ["sil", "hi", "sil"])], "", ["hi"], ["h", "aI"]),
        ([("x", ["a"]), ("y", ["a"])], "", ["a"], ["a"]),
        ([("x", ["Hi,", "there"])], "hi there!", ["Hi,", "there"], []),
        ([("x", ["h", "aI"])], "hi there", [], ["h", "aI"]),
        ([("x", ["hi there"])], "hi there", ["hi there"], []),
        ([("x", ["h", "aI"])], "", [], ["h", "aI"]),
        ([("x", ["a"]), ("y", ["b"]), ("z", ["c"])], "a", [], []),
        ([("short", ["a"]), ("comfort", ["b", "c"])], "a", ["a"], ["b", "c"]),  # "ort" within a word is no name
        ([("word", ["<P>", "_p:_", "_NOISE_", "sil", "SP", "#", "", "<usb>", "silk", "_"])], "", ["silk", "_"], []),
        ([], "hi", [], []),
    ],
)
def test_which_tier_is_which(tmp_path, tiers, text, words, phones):
    path = tmp_path / "a.TextGrid"
    path.write_text(short(*tiers))
    found = words_and_phones(read_textgrid(path), text)
    assert [labels_of(intervals) for intervals in found] == [words, phones]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"ooBinaryFile\x08TextGrid\x00\x01", "binary TextGrid: save it in Praat"),
        (b"", "ends where the file type"),
        (b"\xff\xfeF", "UTF-16 text is cut off"),
        (b"\x00\xd8" * 5, "ends where the file type"),
        (b'"ooTextFile" "Pitch 1" 0 1', "it is no TextGrid"),
        (short(("a", ["x", "y"]))[:-2].encode(), "a quotation mark is never closed (line 5)"),
        (short(("a", ["x", "y"]))[:-4].encode(), "ends where the label of an interval should stand"),
        (short(("a", ["x"])).replace("0.1", '"0.1"').encode(), "'\"0.1\"' stands where the end of an interval should"),
        (short(("a", ["x"])).replace("0.1", "1e999").encode(), "1e999 cannot be the end of an interval"),
        (short(("a", ["x"])).replace("0.1", "-0.1").encode(), "ends before it starts"),
        (short(("a", ["x"])).replace("9 1", "9 99999999999999").encode(), "it ends where the start of an interval"),
        (short(("a", ["x"])).replace("9 1", "9 1.5").encode(), "1.5 cannot be a number of intervals"),
        (short(("a", ["x"])).replace("IntervalTier", "FunTier").encode(), "'FunTier' is neither"),
        (b'"ooTextFile" "TextGrid" 0 1 <exists> 1e308', "ends where the kind of tier"),
    ],
)
def test_a_broken_one_is_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "a.TextGrid"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_textgrid(path)
    message = str(caught.value)
    assert str(path) in message
    assert sentence in message
    assert message.endswith(".")
    assert "\n" not in message


def test_a_missing_file_and_one_without_tiers(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_textgrid(tmp_path / "a.TextGrid")
    path = tmp_path / "b.TextGrid"
    path.write_text('"ooTextFile" "TextGrid" 0 1 <absent>')
    assert read_textgrid(path) == TextGrid(())


def test_time_grows_with_the_size_only(tmp_path):
    path = tmp_path / "a.TextGrid"
    labels = [random.Random(n).choice(["hi", "sil", "there"]) for n in range(80_000)]
    hostile = {
        "two megabytes": short(("word", labels)),
        "cut off": short(("word", labels))[:-1],
        "doubled quotes": '"ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "' + '""' * 300_000,
        "opening quotes": ' "' * 300_001,
        "opening brackets": "<" * 600_000,
        "digits": '"ooTextFile" "TextGrid" ' + "1" * 600_000,
        "dashes in a name": '"ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "' + "- " * 300_000 + '" 0 1 0',
        "punctuation": short(("x", ["_!" * 300_000])),
    }
    for name, text in hostile.items():
        path.write_text(text)
        start = time.perf_counter()
        try:
            words_and_phones(read_textgrid(path), "hi there")
        except InputError:
            assert name not in ("two megabytes", "dashes in a name", "punctuation")
        assert time.perf_counter() - start < 5, name  # 0.3 s on the slowest seen; in quadratic time it takes hours


def test_a_written_one_is_as_praatio_reads_it(tmp_path):
    """Praat's rules: every tier runs from 0 to the end without gaps."""
    textgrid_io = pytest.importorskip("praatio.utilities.textgrid_io")
    words = (Interval('say "ah"', 0.25, 0.5), Interval("ɑ́  é", 0.5, 0.75), Interval("late", 1.5, 3.0))
    phones = (Interval("a", 0.0, 1.0), Interval("b", 0.9, 1.2), Interval("c", 0.95, 1.1), Interval("d", 2.5, 2.7))
    write_textgrid(tmp_path / "x.TextGrid", 2.0, {"words": words, "phones": phones})
    oracle = textgrid_io.parseTextgridStr((tmp_path / "x.TextGrid").read_text("utf-8"), includeEmptyIntervals=True)
    assert (oracle["xmin"], oracle["xmax"]) == (0, 2)
    tiers = {
        tier["name"]: [(float(start), float(end), label) for start, end, label in tier["entries"]]
        for tier in oracle["tiers"]
    }
    assert tiers["words"] == [
        (0, 0.25, ""), (0.25, 0.5, 'say "ah"'), (0.5, 0.75, "ɑ́ é"), (0.75, 1.5, ""), (1.5, 2.0, "late")
    ]  # fmt: skip
    assert tiers["phones"] == [(0, 1.0, "a"), (1.0, 1.2, "b"), (1.2, 2.0, "")]
    ours = read_textgrid(tmp_path / "x.TextGrid")
    assert {t.name: [(i.start, i.end, i.label) for i in t.intervals] for t in ours.tiers} == tiers
    assert labels_of(words_and_phones(ours, "")[1]) == ["a", "b"]


def test_a_tier_of_nothing_is_one_empty_interval(tmp_path):
    write_textgrid(tmp_path / "x.TextGrid", 1.5, {"words": ()})
    assert read_textgrid(tmp_path / "x.TextGrid") == TextGrid((Tier("words", (Interval("", 0.0, 1.5),)),))
