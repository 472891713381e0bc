"""CharacterModel: vocabulary, bits per character, generated text, and what is refused."""

import gzip
import io
import os
import pickle
import string
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from admmirnn import CharacterModel, RNNClassifier, Rollout
from admmirnn.estimators.text import _characters, _code_points
from admmirnn.penalties import SpectralBall

pytestmark = pytest.mark.elman

SENTENCE = "the quick brown fox jumps over the lazy dog. "


@pytest.fixture(scope="module")
def model():
    return CharacterModel(hidden_size=24, max_epochs=40, random_state=0).fit(40 * SENTENCE)


def small(**settings):
    return CharacterModel(**{"hidden_size": 8, "max_epochs": 1, "random_state": 0} | settings)


def outputs_by_hand(model, text):
    """V s_t + c after each character, from one-hot vectors in float64."""
    X = np.eye(len(model.vocabulary_))[[model.vocabulary_.index(character) for character in text]]
    s, outputs = np.zeros(len(model.W_)) if model.s_0_ is None else model.s_0_, []
    for x in X:
        s = np.tanh(model.U_ @ x + model.W_ @ s + model.b_)
        outputs.append(model.V_ @ s + model.c_)
    return np.array(outputs, np.float64)


def bits_by_hand(model, text):
    log_p = log_softmax(outputs_by_hand(model, text[:-1]), axis=1)
    return -log_p[np.arange(len(text) - 1), [model.vocabulary_.index(c) for c in text[1:]]].sum() / np.log(2)


# Learning


def test_learns_a_sentence_by_heart(model, backend_name):
    assert model.vocabulary_ == "".join(sorted(set(SENTENCE)))
    assert model.bits_per_character(3 * SENTENCE) < 0.5
    assert model.score(SENTENCE) == -model.bits_per_character(SENTENCE)
    assert model.generate(SENTENCE + "the ", 60, temperature=0) == (2 * SENTENCE)[4:64]


def test_counts_what_the_text_has(model):
    assert dict(zip(model.vocabulary_, model.counts_, strict=True)) == {c: 40 * SENTENCE.count(c) for c in SENTENCE}


def test_a_network_that_reads_more_than_one_character_back_is_needed_and_had():
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(["ab.", "ba."], 1500))  # after a dot anything may come, then the other one and a dot
    model = CharacterModel(hidden_size=16, max_epochs=20, random_state=0).fit(text)
    assert model.bits_per_character(text[:600]) == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("s_0", [None, "learn"])
def test_bits_are_those_of_one_stream_from_s_0_to_the_end(s_0, backend_name, monkeypatch):
    model = small(s_0=s_0, dtype="float64").fit(20 * SENTENCE)
    assert (model.s_0_ is None) == (s_0 is None)
    expected = bits_by_hand(model, 3 * SENTENCE)
    n_predicted = 3 * len(SENTENCE) - 1
    assert model.bits_per_character(3 * SENTENCE) == pytest.approx(expected / n_predicted, rel=1e-12)
    monkeypatch.setattr("admmirnn.networks.rolling._ROWS_AT_A_TIME", 10)  # a long text comes in pieces
    assert model.bits_per_character(3 * SENTENCE) == pytest.approx(expected / n_predicted, rel=1e-12)
    texts = [SENTENCE[:7], SENTENCE, SENTENCE[10:12]]
    expected = sum(bits_by_hand(model, text) for text in texts) / (6 + len(SENTENCE) - 1 + 1)
    assert model.bits_per_character(texts) == pytest.approx(expected, rel=1e-12)


def test_predict_proba_is_a_distribution_after_each_character(model):
    p = model.predict_proba("the fox")
    np.testing.assert_allclose(p, softmax(outputs_by_hand(model, "the fox"), axis=1), atol=1e-5)
    assert p.shape == (7, len(model.vocabulary_))
    assert model.predict_proba("t").shape == (1, len(model.vocabulary_))


def test_several_texts_are_learnt_each_from_s_0():
    texts = ["ab" * 40, "ba" * 70, "ab" * 3]
    model = small(max_epochs=3, hidden_size=4).fit(texts)
    assert model.vocabulary_ == "ab"
    assert model.counts_.tolist() == [113, 113]
    many = small(batch_size=2).fit(30 * texts)
    assert np.isfinite(many.U_).all()


def test_settings_of_the_classifier_are_there():
    text = 20 * SENTENCE
    for settings in (
        {"activation": "relu"},
        {"penalty": 0.0},
        {"solver": Rollout(damping=0.3), "batch_size": 3, "chunk_size": 7},
        {"s_0": np.linspace(-1, 1, 8)},
        {"init": {"W": np.zeros((8, 8))}},
        {"dtype": "float64", "n_threads": 2},
    ):
        assert np.isfinite(small(**settings).fit(text).bits_per_character(text)), settings
    model = small(penalties={"W": SpectralBall(0.5)}, max_epochs=3).fit(text)
    assert np.linalg.norm(model.W_, 2) <= 0.5 + 1e-6
    states = []
    stopped = small(max_epochs=5, callbacks=[lambda state: states.append(state) or len(states) == 2]).fit(text)
    assert stopped.n_iter_ == 2
    assert states[0].estimator is stopped
    assert [record["epoch"] for record in stopped.history_] == [1, 2]
    assert small(solver=Rollout(max_iter=3)).fit(text).n_iter_ == 1


def test_a_seed_gives_the_same_weights_on_the_same_text(tmp_path):
    text = 10 * SENTENCE
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    expected = small().fit(text)
    with open(tmp_path / "text.txt", encoding="utf-8") as file:
        for given in (tmp_path / "text.txt", file, io.StringIO(text), [text], (tmp_path / "text.txt",)):
            np.testing.assert_array_equal(small().fit(given).U_, expected.U_)
    assert not np.array_equal(small(random_state=1).fit(text).U_, expected.U_)


def test_partial_fit_goes_on(model):
    parts = [10 * SENTENCE, 12 * SENTENCE]
    partial = small(hidden_size=24)
    for part in 4 * parts:
        assert partial.partial_fit(part) is partial
    assert partial.n_iter_ == 8
    assert partial.counts_.sum() == 4 * 22 * len(SENTENCE)
    assert partial.bits_per_character(SENTENCE) < 2
    before = pickle.loads(pickle.dumps(model))
    bits = before.bits_per_character(3 * SENTENCE.upper().lower())
    before.partial_fit(5 * SENTENCE)
    assert before.bits_per_character(3 * SENTENCE) < bits + 0.5
    assert before.n_iter_ == model.n_iter_ + 1
    wide = small().partial_fit(SENTENCE, vocabulary=string.ascii_lowercase + ". !")
    assert wide.vocabulary_ == "".join(sorted(string.ascii_lowercase + ". !"))
    assert wide.partial_fit("why!" * 10).counts_[wide.vocabulary_.index("!")] == 10
    wide.partial_fit(SENTENCE, vocabulary=wide.vocabulary_)
    with pytest.raises(ValueError, match="vocabulary is 'ab', and was ' !.abc"):
        wide.partial_fit(SENTENCE, vocabulary="ab")
    with pytest.raises(ValueError, match="hidden_size is 9, and was 8 when training began; call fit"):
        wide.set_params(hidden_size=9).partial_fit(SENTENCE)
    with pytest.raises(TypeError, match="vocabulary is of type list"):
        small().partial_fit(SENTENCE, vocabulary=["a", "b"])


# Any characters


@given(st.text(min_size=1, max_size=40))
def test_code_points_and_back(text):
    assert _characters(_code_points(text)) == text


@given(st.text(st.characters(), min_size=2, max_size=60).filter(lambda text: len(set(text)) > 1))
def test_any_text_is_read_and_written(text):
    assume(not os.path.isfile(text))  # names of files are refused; hypothesis draws /proc/cpuinfo
    model = small(hidden_size=3).fit(text)
    assert model.vocabulary_ == "".join(sorted(set(text)))
    assert np.isfinite(model.bits_per_character(text))
    assert set(model.generate(text[:1], 5, random_state=0)) <= set(text)


def test_more_than_256_characters():
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 700))) * 3 + "\0\U0001f600"
    model = small().fit(text)
    assert len(model.vocabulary_) == 702
    assert model.bits_per_character(text) == pytest.approx(bits_by_hand(model, text) / (len(text) - 1), rel=1e-4)


def test_carriage_returns_are_characters_like_others():
    assert small().fit("ab\r\n" * 9).vocabulary_ == "\n\rab"


# Generated text


def test_generated_text_is_new_characters_of_the_asked_number(model):
    assert model.generate("the ", 0) == ""
    for n in (1, 2, 17):
        text = model.generate("the ", n, random_state=0)
        assert len(text) == n
        assert set(text) <= set(SENTENCE)
    assert model.generate("fox", 30, random_state=1) == model.generate("fox", 30, random_state=1)
    assert len({model.generate("fox", 30, temperature=2.0, random_state=seed) for seed in range(5)}) > 1


def test_back_ends_generate_the_same(model, backend_name):
    texts = [model.generate("the ", 50, temperature, random_state=3) for temperature in (0, 0.5, 1.0, 3.0)]
    assert texts == [model.generate("the ", 50, temperature, random_state=3) for temperature in (0, 0.5, 1.0, 3.0)]
    expected = ""
    for _ in range(20):  # the likeliest one, again and again
        expected += model.vocabulary_[outputs_by_hand(model, "the " + expected)[-1].argmax()]
    assert texts[0][:20] == expected


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("prefix", ["", "q", "the "])
def test_characters_are_drawn_by_their_probabilities(temperature, prefix, backend_name):
    model = small(hidden_size=4).fit(3 * SENTENCE)
    if prefix:
        p = softmax(outputs_by_hand(model, prefix)[-1] / temperature)
    else:
        p = softmax(np.log(model.counts_) / temperature)
    random_state, n = np.random.RandomState(0), 1000
    drawn = "".join(model.generate(prefix, 1, temperature, random_state) for _ in range(n))
    found = np.array([drawn.count(character) for character in model.vocabulary_]) / n
    np.testing.assert_allclose(found, p, atol=5 * np.sqrt(0.25 / n))


def test_an_empty_prefix_goes_on_from_its_first_character(model):
    text = model.generate("", 10, 0)
    assert text[0] == model.vocabulary_[model.counts_.argmax()] == " "
    assert text[1:] == model.generate(" ", 9, 0)
    text = model.generate(n=10, random_state=5)
    assert len(text) == 10


def test_tiny_and_huge_temperatures(model):
    assert model.generate("the ", 20, 1e-300, random_state=0) == model.generate("the ", 20, 0)
    assert len(model.generate("the ", 20, 1e300, random_state=0)) == 20
    often_b = small().fit(20 * "abbb")
    assert [often_b.generate("", 1, temperature, random_state=0) for temperature in (1e-308, 5e-324)] == ["b", "b"]


# As other estimators


def test_is_cloned_pickled_and_searched(model):
    settings = {"hidden_size": 5, "unknown": "?", "solver": Rollout(radius=0.02)}
    assert clone(CharacterModel(**settings)).get_params()["unknown"] == "?"
    assert "readout" not in model.get_params()
    for name in ("step", "stream", "reset_states"):
        assert not hasattr(model, name)
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.bits_per_character(SENTENCE) == model.bits_per_character(SENTENCE)
    assert loaded.generate("the ", 20, random_state=0) == model.generate("the ", 20, random_state=0)
    texts = [SENTENCE * 4, SENTENCE[::-1] * 4, SENTENCE * 3, SENTENCE[::-1] * 2]
    search = GridSearchCV(small(), {"solver": [Rollout()], "solver__radius": [1e-6, 0.03]}, cv=2).fit(texts)
    assert search.best_params_["solver__radius"] == 0.03


def test_units_without_use_are_pruned():
    model = small().fit(20 * SENTENCE)
    model.V_[:, 3] = model.W_[:, 3] = 0  # nobody reads this unit
    pruned = model.prune()
    assert pruned.hidden_size == len(pruned.W_) == 7
    assert pruned.bits_per_character(SENTENCE) == pytest.approx(model.bits_per_character(SENTENCE), rel=1e-5)
    assert pruned.generate("the", 10, 0) == model.generate("the", 10, 0)


def test_shows_progress(capsys):
    small(verbose=2).fit(5 * SENTENCE)
    assert "roll-out loss" in capsys.readouterr().out


# What is refused


def test_unknown_characters_are_named_or_replaced(model):
    for call in (model.bits_per_character, model.predict_proba, model.generate):
        with pytest.raises(ValueError, match=r"has the character 'é' \(U\+00E9\) at position 7.* 28 .*unknown=' '"):
            call("the cafés")
    with pytest.raises(ValueError, match=r"text\[1\] has the character 'T'"):
        model.bits_per_character(["the ", "The "])
    lenient = pickle.loads(pickle.dumps(model)).set_params(unknown="e")
    assert lenient.bits_per_character("the cafés Ünd") == model.bits_per_character("the cafes end")
    assert lenient.generate("Thé ", 9, 0) == model.generate("ehe ", 9, 0)
    assert lenient.bits_per_character("\x00\U0010ffff") == model.bits_per_character("ee")


@pytest.mark.parametrize(
    ("unknown", "error"), [("X", ValueError), ("", ValueError), ("ab", ValueError), (3, TypeError), (b"a", TypeError)]
)
def test_stand_ins_that_cannot_be_are_refused(model, unknown, error):
    with pytest.raises(error, match="unknown is "):
        small(unknown=unknown).fit(SENTENCE)
    with pytest.raises(error, match="unknown is "):
        pickle.loads(pickle.dumps(model)).set_params(unknown=unknown).generate("the ", 3)


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("", ValueError, "text has 0 character"),
        ("a", ValueError, "text has 1 character"),
        ("aaaa", ValueError, "no other character than 'a'"),
        ([], ValueError, "empty list"),
        (["ab", "a"], ValueError, r"text\[1\] has 1 character"),
        (["ab", 3], TypeError, r"text\[1\] is of type int"),
        (b"abc", TypeError, "decode it"),
        (io.BytesIO(b"abc"), TypeError, "open the file as text"),
        (None, TypeError, "text is None, a missing text"),
        (np.zeros(3), TypeError, r"text\[0\] is of type float64"),
        (np.zeros((3, 2)), TypeError, "text is of type ndarray, a table"),
        (pd.DataFrame({"a": ["hello"]}), TypeError, "text is of type DataFrame, a table"),
        (["abc", None], TypeError, r"text\[1\] is None, a missing text"),
        (pd.Series(["abc", pd.NA], dtype="string"), TypeError, r"text\[1\] is .*, a missing text"),
    ],
)
def test_texts_that_cannot_be_learnt_are_refused(text, error, match):
    with pytest.raises(error, match=match):
        small().fit(text)


def test_unknown_characters_are_said_to_be_where_they_are(model):
    with pytest.raises(ValueError, match="in validation_text: text has the character 'Z'"):
        small().fit(SENTENCE, validation_text="Z" + SENTENCE)
    with pytest.raises(ValueError, match="in validation_text: text has 1 character"):
        small().fit(SENTENCE, validation_text="t")
    with pytest.raises(ValueError, match="in prefix: text has the character 'Z'"):
        model.generate("Z")


def test_files_that_are_not_there_or_not_utf8_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        small().fit(tmp_path / "nothing.txt")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.txt, which is not UTF-8"):
        small().fit(tmp_path / "latin.txt")


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"n": -1}, ValueError, "n is -1"),
        ({"n": 2.5}, TypeError, "n is 2.5"),
        ({"temperature": -0.1}, ValueError, "temperature is -0.1"),
        ({"temperature": np.nan}, ValueError, "temperature is nan"),
        ({"temperature": "hot"}, TypeError, "temperature is 'hot'"),
        ({"prefix": 3}, TypeError, "prefix is of type int"),
        ({"random_state": "x"}, ValueError, "x"),
    ],
)
def test_wrong_arguments_of_generate_are_refused(model, arguments, error, match):
    with pytest.raises(error, match=match):
        model.generate(**arguments)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="solver is 'algorithm1', which does not read text; pass solver='rollout'"):
        small(solver="algorithm1").fit(SENTENCE)
    with pytest.raises(ValueError, match="chunk_size is 0"):
        small(chunk_size=0).fit(SENTENCE)
    with pytest.raises(ValueError, match="the known ones are"):
        small(activation="softplus").fit(SENTENCE)


def test_networks_that_overflow_are_named(model):
    broken = pickle.loads(pickle.dumps(model))
    broken.V_ = np.full_like(broken.V_, 3e38)
    for call in (broken.bits_per_character, broken.predict_proba, broken.generate):
        with pytest.raises(ValueError, match="outputs are not finite"):
            call(SENTENCE)


# Files, marks, columns of texts


PLAIN = "to be, or not to be. " * 30


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("packed", [False, True])
def test_files_with_byte_order_marks_and_packed_ones_are_read_as_their_text(tmp_path, encoding, packed):
    path = tmp_path / ("book.txt.gz" if packed else "book.txt")
    with gzip.open(path, "wb") if packed else open(path, "wb") as file:
        file.write(PLAIN.encode(encoding))
    model = CharacterModel(4, max_epochs=1, random_state=0).fit(PLAIN)
    assert model.bits_per_character(path) == model.bits_per_character(PLAIN)
    np.testing.assert_array_equal(model.predict_proba(path), model.predict_proba(PLAIN))
    assert model.generate(path, n=3, random_state=0) == model.generate(PLAIN, n=3, random_state=0)
    for of_file in (
        CharacterModel(4, max_epochs=1, random_state=0).fit(path, validation_text=path),
        CharacterModel(4, max_epochs=1, random_state=0).partial_fit([path, PLAIN]),
    ):
        assert of_file.vocabulary_ == model.vocabulary_


def test_a_mark_at_the_beginning_of_a_text_is_no_character():
    marked = "\ufeff" + PLAIN
    assert "\ufeff" not in CharacterModel(4, max_epochs=1).fit(marked).vocabulary_
    assert "\ufeff" not in CharacterModel(4, max_epochs=1).fit([io.StringIO(marked), marked]).vocabulary_


@pytest.mark.parametrize("kind", ["object", "string", "categorical", "array", "StringDType", "polars", "pyarrow"])
def test_a_column_of_texts_is_a_list_of_them(kind):
    texts = [PLAIN, "not to be " * 20]
    columns = {
        "object": lambda: pd.Series(texts, dtype=object, index=[7, 9]),
        "string": lambda: pd.Series(texts, dtype="string"),
        "categorical": lambda: pd.Series(texts).astype("category"),
        "array": lambda: np.array(texts),
        "StringDType": lambda: np.array(texts, dtype=np.dtypes.StringDType()),
        "polars": lambda: pytest.importorskip("polars").Series(texts),
        "pyarrow": lambda: pytest.importorskip("pyarrow").array(texts),
    }
    if kind == "StringDType" and not hasattr(np.dtypes, kind):
        pytest.skip("of numpy 2")
    found = CharacterModel(4, max_epochs=1, random_state=0).fit(columns[kind]())
    expected = CharacterModel(4, max_epochs=1, random_state=0).fit(texts)
    np.testing.assert_array_equal(found.W_, expected.W_)


def test_the_name_of_a_file_is_no_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(PLAIN)
    model = CharacterModel(4, max_epochs=1, random_state=0).fit(PLAIN)
    for call in (
        lambda: CharacterModel().fit("book.txt"),
        lambda: CharacterModel().fit([PLAIN, str(tmp_path / "book.txt")]),
        lambda: CharacterModel().fit(PLAIN, validation_text="book.txt"),
        lambda: model.partial_fit("book.txt"),
        lambda: model.bits_per_character("book.txt"),
        lambda: model.predict_proba("book.txt"),
    ):
        with pytest.raises(ValueError, match=r"book.txt', the name of a file; pass pathlib.Path\("):
            call()
    with pytest.warns(UserWarning, match="looks like the name of a file, and none of that name is there"):
        CharacterModel(4, max_epochs=1).fit("data/boook.txt")
    with pytest.raises(TypeError, match="X is 'readings.csv'; read the file"):
        RNNClassifier().fit("readings.csv", [0, 1])


def test_a_damaged_packed_file_is_named(tmp_path):
    (tmp_path / "book.gz").write_bytes(gzip.compress(PLAIN.encode())[:-9])
    with pytest.raises(ValueError, match="book.gz, which is not a complete gzip file"):
        CharacterModel().fit(tmp_path / "book.gz")


@pytest.mark.parametrize("settings", [{}, {"early_stopping": True}], ids=str)
def test_a_text_takes_a_few_bytes_a_character(settings):
    """Beside the text itself: its codes, targets and weights, and none of its outputs."""

    def peak(n):
        text = "".join(map(chr, np.random.default_rng(0).integers(97, 117, 1000))) * (n // 1000)
        model = CharacterModel(4, cell="elman", solver=Rollout(max_iter=2), random_state=0, **settings)
        tracemalloc.start()
        model.fit(text[:n])
        most = tracemalloc.get_traced_memory()[1]
        model.bits_per_character(text)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        model.bits_per_character(text)
        of_bits = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        return np.array([most, of_bits])

    peak(20_000)
    assert ((peak(600_000) - peak(200_000)) / 400_000 <= 12).all()
