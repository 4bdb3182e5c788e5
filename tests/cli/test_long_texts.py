"""A run of each choice for long texts, from training to answers, explanations and pages."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_flax.cli import main
from lstm_flax.config import Config
from lstm_flax.errors import UserError
from lstm_flax.inference.predictor import Predictor
from lstm_flax.training.train import train
from tests.training.step_cases import changed

CHOICES: dict[str, dict[str, Any]] = {
    "merged": {"direction_merge": "mean", "num_layers": 2},
    "truncated": {"truncate_gradient_every": 16, "direction_merge": "sum"},
    "sentences": {"hierarchy": "sentences", "sentence_length": 8, "pooling": "attention"},
}
TEXT = "A superb film. The story is moving! And the music, too, is warm and gentle."


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES)
def test_train_evaluate_predict_and_explain(
    choice: str, brief_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = changed(brief_config, model=CHOICES[choice], training={"epochs": 2})
    results = train(config, tmp_path / "run", show_progress=False)
    predictor = Predictor.from_checkpoint(tmp_path / "run")
    answers = predictor.predict([TEXT, "dull"])
    assert answers[0].probabilities["pos"] != answers[1].probabilities["pos"]
    [why] = predictor.explain([TEXT])
    chosen = answers[0].probabilities[answers[0].label]
    assert why.probability == pytest.approx(chosen, abs=1e-5)
    assert why.completeness_error < 0.05
    assert sum(word.contribution for word in why.words) != 0
    strongest = why.strongest(1)[0]
    without = TEXT[: strongest.start] + TEXT[strongest.end :]
    after = predictor.predict([without])[0].probabilities[why.label]
    assert strongest.occlusion is not None
    assert why.log_odds - strongest.occlusion == pytest.approx(
        np.log(after / (1 - after)), abs=1e-3
    )
    run = tmp_path / "run"
    assert main(["evaluate", f"--workdir={run}", f"--config={run / 'config.json'}"]) == 0
    assert (
        json.loads((tmp_path / "run" / "evaluation.json").read_text())["accuracy"]
        == (results["accuracy"])
    )
    page = tmp_path / "why.html"
    assert main(["explain", str(tmp_path / "run"), TEXT, f"--html={page}"]) == 0
    assert page.exists()
    if choice == "sentences":
        with pytest.raises(UserError, match=r"sentence by sentence \(model.hierarchy\)"):
            predictor.states(TEXT)
    else:
        assert predictor.states(TEXT).outputs.shape[1] == 16
