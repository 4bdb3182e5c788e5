"""The Python API: answers that do not depend on company, threads, fine-tuning."""

import concurrent.futures
from pathlib import Path

import numpy as np
import pytest

from lstm_flax.errors import UserError
from lstm_flax.inference.predictor import Predictor
from lstm_flax.training.fine_tune import fine_tune
from lstm_flax.training.warm_start import kept_params
from tests.conftest import templated_texts


@pytest.fixture(scope="module")
def predictor(finished: tuple[Path, dict]) -> Predictor:
    return Predictor.from_checkpoint(finished[0])


TEXTS = [record["text"] for record in templated_texts(70, seed=9)]


def test_answers_do_not_depend_on_the_other_texts(predictor: Predictor) -> None:
    together = predictor.predict(TEXTS)
    assert [answer.text for answer in together] == TEXTS
    for answer in together[:5]:
        alone = predictor.predict([answer.text])[0]
        assert alone.label == answer.label
        for name, probability in alone.probabilities.items():
            assert probability == pytest.approx(answer.probabilities[name], abs=1e-6)


@pytest.mark.parametrize("count", [2, 9, 30])
def test_a_few_texts_are_answered_as_many_are(count: int, predictor: Predictor) -> None:
    expected = predictor.predict(TEXTS)
    for answer, one in zip(predictor.predict(TEXTS[:count]), expected, strict=False):
        assert answer.probabilities == pytest.approx(one.probabilities, abs=1e-6)


def test_probabilities_sum_to_one_and_the_label_is_the_largest(predictor: Predictor) -> None:
    for answer in predictor.predict(TEXTS):
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-6)
        assert answer.label == max(answer.probabilities, key=answer.probabilities.__getitem__)


def test_any_length_is_answered(predictor: Predictor) -> None:
    long = "superb and warm " * 5_000
    assert predictor.predict([long, "x", "🎬 映画"])[0].label == "pos"


def test_how_much_of_a_text_is_unknown(predictor: Predictor) -> None:
    shares = [
        answer.unknown for answer in predictor.predict(["superb film", "superb 映画", "映画"])
    ]
    assert shares[0] == 0
    assert 0 < shares[1] < 1
    assert shares[2] > 0.5


def test_an_empty_text_is_refused_by_its_place(predictor: Predictor) -> None:
    with pytest.raises(UserError, match=r"texts\[1\] is empty"):
        predictor.predict(["fine", "  "])


def test_a_stream_is_answered_as_it_comes(predictor: Predictor) -> None:
    taken = 0

    def texts():
        nonlocal taken
        while True:
            taken += 1
            yield TEXTS[taken % len(TEXTS)]

    first = next(predictor.predict_stream(texts()))
    assert first.text == TEXTS[1]
    assert taken <= 4096


def test_threads_share_a_predictor(predictor: Predictor) -> None:
    expected = [answer.probabilities["pos"] for answer in predictor.predict(TEXTS)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for answers in pool.map(predictor.predict, [TEXTS] * 8):
            got = [answer.probabilities["pos"] for answer in answers]
            np.testing.assert_array_equal(got, expected)


@pytest.mark.slow
def test_fine_tuning_learns_new_labels(predictor: Predictor, tmp_path: Path) -> None:
    texts = [record["text"] for record in templated_texts(60, seed=4)]
    labels = ["loved" if record["label"] == "pos" else "hated" for record in templated_texts(60, 4)]
    tuned = Predictor(fine_tune(predictor, texts, labels, tmp_path, epochs=4))
    assert tuned.label_names == ("hated", "loved")
    answers = tuned.predict([record["text"] for record in templated_texts(40, seed=5)])
    right = [record["label"] == "pos" for record in templated_texts(40, seed=5)]
    assert np.mean([(a.label == "loved") == r for a, r in zip(answers, right, strict=True)]) >= 0.9


def test_a_head_is_kept_for_the_same_labels_alone(predictor: Predictor) -> None:
    trained = predictor.trained
    assert set(kept_params(trained, ("neg", "pos"))) == set(trained.params)
    # As many labels, but the first is now the good one.
    kept = kept_params(trained, ("adored", "boring"))
    assert set(trained.params) - set(kept) == {"head"}


def test_mistakes_in_a_call_say_what_to_do(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"write predict\(\[text\]\)"):
        predictor.predict("one text")
    with pytest.raises(UserError, match="2 texts but 1 labels"):
        fine_tune(predictor, ["a", "b"], ["x"], tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="every label is 'x'"):
        fine_tune(predictor, ["a", "b"], ["x", "x"], tmp_path / "run")
    # A call that failed before it trained may be corrected in the same folder.
    with pytest.raises(UserError, match=r"texts\[1\] is empty"):
        fine_tune(predictor, ["a", " "], ["x", "y"], tmp_path / "run")


def test_opening_a_checkpoint_says_nothing_of_orbax(
    predictor: Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    path = predictor.trained.path.parent
    assert Predictor.from_checkpoint(path).label_names == predictor.label_names
    assert [record for record in caplog.records if record.name == "absl"] == []


@pytest.mark.parametrize("text", ["", " ", None, 3])
def test_fine_tuning_names_a_text_that_is_none_by_its_place_and_writes_nothing(
    predictor: Predictor, tmp_path: Path, text: object
) -> None:
    with pytest.raises(UserError, match=r"^texts\[1\] is "):
        fine_tune(predictor, ["fine", text], ["pos", "neg"], tmp_path / "run")  # type: ignore[list-item]
    assert not (tmp_path / "run").exists()
