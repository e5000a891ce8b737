"""Text encoders: fixed character codes and BERT from a folder."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from wav2uti.errors import InputError
from wav2uti.speech.textual import Bert, CharacterCodes, build_textual


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random BERT of 1 layer, 12 positions and the letters a to e."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny-bert"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcde"]
    BertTokenizer(vocab={word: index for index, word in enumerate(words)}).save_pretrained(folder)
    BertModel(
        BertConfig(
            vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            max_position_embeddings=12,
        )
    ).save_pretrained(folder)  # fmt: skip
    return folder


def test_character_codes_are_the_same_on_every_machine() -> None:
    codes = CharacterCodes(8).encode("a你")
    np.testing.assert_array_equal(codes, [[1, 1, -1, 1, -1, 1, -1, -1], [-1, 1, 1, -1, -1, 1, 1, -1]])
    assert codes.dtype == np.float32


def test_character_codes_are_distinct_and_of_unit_variance() -> None:
    codes = CharacterCodes().encode("abcdefghijklmnopqrstuvwxyz")
    np.testing.assert_array_equal(np.abs(codes), 1)
    correlation = codes @ codes.T / codes.shape[1]
    assert np.abs(correlation - np.eye(26)).max() < 0.6


def test_character_codes_know_neither_case_nor_encoding() -> None:
    encode = CharacterCodes().encode
    np.testing.assert_array_equal(encode(" Caf\u00e9\n b"), encode("cafe\u0301 b"))
    assert encode("").shape == (0, 64)
    assert encode(" \n").shape == (0, 64)
    assert encode("\ud800").shape == (1, 64)  # half of a surrogate pair, from a broken prompt file


def test_bert_gives_a_vector_for_each_real_token(tiny_bert: Path) -> None:
    encoder = Bert(str(tiny_bert))
    assert (encoder.name, encoder.width) == ("tiny-bert", 16)
    tokens = encoder.encode("a b c")
    assert tokens.shape == (3, 16)
    assert tokens.dtype == np.float32
    assert encoder.encode("").shape == (0, 16)
    assert encoder.encode("a b c d e " * 5).shape == (25, 16)  # in parts of 10 tokens: 12 positions, two are special


def test_spans_of_characters_refer_to_the_composed_text() -> None:
    encoder = CharacterCodes()
    text = " Cafe\u0301 \n  Stra\u00dfe "  # NFC: " Café \n  Straße "
    spans = encoder.spans(text)
    assert spans.dtype == np.int64
    letters = [(1, 2), (2, 3), (3, 4), (4, 5)]
    assert spans.tolist() == [
        list(pair) for pair in [*letters, (5, 9), (9, 10), (10, 11), (11, 12), (12, 13), (13, 14), (13, 14), (14, 15)]
    ]
    for odd in (
        text,
        "W\u030a",
        "\u0390\u01f0",
        "\u1100\u1161",
        "a\x00\x1fb\u2028c",
        "\ud800",
        "",
        " \n",
        "e\u0301" * 50,
    ):
        assert len(encoder.spans(odd)) == len(encoder.encode(odd))
        folded = unicodedata.normalize("NFC", " ".join(odd.casefold().split()))
        assert len(folded) == len(encoder.encode(odd))  # the same characters as folding the whole text gives


def test_bert_spans_and_batches(tiny_bert: Path) -> None:
    encoder = Bert(str(tiny_bert))
    assert encoder.spans("a  b, \u00e1").tolist() == [[0, 1], [3, 4], [4, 5], [6, 7]]
    assert encoder.spans(" \n").shape == (0, 2)
    texts = ["a b c", "", "a b c d e " * 5, "\x00", "e", "a\x00b \u0007c \ud800", "x" * 300, " \t"]
    batch = encoder.encode_batch(texts)
    for text, together in zip(texts, batch, strict=True):
        alone = encoder.encode(text)
        assert alone.shape == together.shape == (len(encoder.spans(text)), 16)
        np.testing.assert_allclose(together, alone, atol=1e-5)
    assert encoder.encode_batch([]) == []


def test_batches_of_any_size_are_equal(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Bert(str(tiny_bert))
    texts = ["a b c d e " * n for n in range(8)]
    whole = encoder.encode_batch(texts)
    monkeypatch.setattr(Bert, "_BATCH", 1)
    for one, other in zip(whole, encoder.encode_batch(texts), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_roberta_counts_its_positions_from_behind_the_padding(tiny_bert: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoTokenizer, RobertaConfig, RobertaModel

    torch.manual_seed(0)
    folder = tmp_path / "tiny-roberta"
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=10, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=13, pad_token_id=0, type_vocab_size=1,
    )  # fmt: skip
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)  # as the published files: no pooler
    encoder = Bert(str(folder))
    text = "a b c d e " * 5
    assert encoder.encode(text).shape == (25, 16)  # 12 places a part
    np.testing.assert_allclose(encoder.encode_batch(["a", text])[0], encoder.encode("a"), atol=1e-5)


def test_bert_of_real_weights_in_batches_and_long(shared: Path) -> None:
    folder = shared / "weights" / "minilm-l6-bert"
    if not folder.is_dir():
        pytest.skip("no ../shared/data/weights/minilm-l6-bert")
    encoder = Bert(str(folder))
    texts = ["The tongue moves.", "Unless to be rather cold-hearted is to be ill-disposed, he said.", "word " * 700]
    for text, together in zip(texts, encoder.encode_batch(texts), strict=True):
        np.testing.assert_allclose(together, encoder.encode(text), atol=1e-4)
    spans = encoder.spans(texts[1])
    assert [texts[1][a:b] for a, b in spans[:6].tolist()] == ["Unless", "to", "be", "rather", "cold", "-"]
    assert encoder.encode_batch(texts)[2].shape == (700, 384)


def test_bert_of_real_weights_knows_meaning(shared: Path) -> None:
    folder = shared / "weights" / "minilm-l6-bert"
    if not folder.is_dir():
        pytest.skip("no ../shared/data/weights/minilm-l6-bert")
    encoder = Bert(str(folder))
    assert encoder.width == 384

    def sentence(text: str) -> np.ndarray:
        mean = encoder.encode(text).mean(axis=0)
        return mean / np.linalg.norm(mean)

    tongue = sentence("The tongue moves in the mouth.")
    assert tongue @ sentence("A person's tongue is moving.") > tongue @ sentence("The stock market fell today.") + 0.2


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model folder"):
        Bert(str(tmp_path / "absent")).encode("a")
    with pytest.raises(InputError, match="huggingface-cli download nobody/nothing"):
        Bert("nobody/nothing").encode("a")
    with pytest.raises(InputError, match="width 0"):
        CharacterCodes(0)


def test_specs_rebuild_the_encoder() -> None:
    for encoder in (CharacterCodes(16), Bert("a/b")):
        assert build_textual(encoder.spec()).spec() == encoder.spec()
    with pytest.raises(InputError, match="describes no text encoder"):
        build_textual({"class": "LogMel"})
