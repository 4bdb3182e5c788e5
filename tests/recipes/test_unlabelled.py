"""Unlabelled rows in a run: planned by bucket, and resumed after a kill."""

from pathlib import Path

import numpy as np
import pytest

from lstm_flax.config import Config
from lstm_flax.config.recipes import AdversarialConfig, UnlabelledConfig
from lstm_flax.data.batching import Batcher, BatchPlan
from lstm_flax.errors import UserError
from lstm_flax.recipes import make_recipes
from lstm_flax.recipes.unlabelled import plan_unlabelled
from lstm_flax.text.tokenized import TokenizedSplit
from lstm_flax.training.run.loop import Run
from lstm_flax.training.train import train
from tests.cli.run_files import cache_with_unlabelled, leaves
from tests.training.step_cases import changed, same

RNG = np.random.default_rng(0)


def test_unlabelled_texts_go_along_by_bucket_and_repeatably() -> None:
    widths, lengths = (32, 64, 96), RNG.integers(1, 64, size=37)
    labelled = RNG.integers(1, 120, size=90)
    plan, later = (BatchPlan(labelled, 8, widths, 96, seed=1, epoch=epoch) for epoch in (2, 3))
    split = TokenizedSplit.from_sequences([np.full(n, 5) for n in lengths], [-1] * len(lengths))
    batcher = Batcher(split, batch_size=5, bucket_widths=widths, max_length=96)
    chosen = plan_unlabelled(plan, batcher)
    again = plan_unlabelled(plan, batcher)
    other = plan_unlabelled(later, batcher)
    assert len(chosen) == len(plan)
    bucket = np.searchsorted(widths, lengths)
    seen = {width: [] for width in widths}
    for planned, indices, repeated in zip(plan, chosen, again, strict=True):
        np.testing.assert_array_equal(indices, repeated)
        assert len(indices) == (0 if planned.width == 96 else 5)  # no text is that long
        assert all(widths[bucket[i]] == planned.width for i in indices)
        seen[planned.width] += indices.tolist()
    assert any(a.tolist() != b.tolist() for a, b in zip(chosen, other, strict=True))
    for width in (32, 64):
        there = np.flatnonzero(bucket == widths.index(width))
        first = seen[width][: len(there)]
        assert len(set(first)) == len(first)  # none twice before each came once


def with_recipes(config: Config, rows: int, **losses: float) -> Config:
    sections = {
        "adversarial": AdversarialConfig(**losses),
        "unlabelled": UnlabelledConfig(batch_size=rows),
    }
    return changed(config, recipes=sections)


def test_a_run_without_unlabelled_texts_says_so(tiny_config: Config, tmp_path: Path) -> None:
    config = with_recipes(tiny_config, 16, entropy_weight=1.0)
    with pytest.raises(UserError, match="no 'unsupervised' split"):
        train(config, tmp_path, recipes=make_recipes(config.recipes), show_progress=False)


@pytest.fixture
def with_unlabelled(tiny_config: Config, tmp_path: Path) -> Config:
    """The tiny run from a cache that holds unlabelled texts too, all losses on."""
    folder = cache_with_unlabelled(tiny_config, tmp_path / "cache")
    config = with_recipes(tiny_config, 8, weight=0.5, virtual_weight=1.0, entropy_weight=0.1)
    fields = {"token_cache": str(folder)}
    model = {"ngram_order": 2, "bidirectional": False}  # four passes a step: long to compile
    return changed(config, data=fields, model=model, training={"epochs": 2})


def run(config: Config, workdir: Path) -> dict:
    return train(config, workdir, recipes=make_recipes(config.recipes), show_progress=False)


@pytest.mark.slow
def test_a_run_with_unlabelled_rows_learns_and_survives_a_kill(
    with_unlabelled: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = run(with_unlabelled, tmp_path / "whole")
    assert results["accuracy"] > 0.9
    assert results["compilations"] == 2
    check = Run._check_finite

    def killed(self: Run) -> None:
        check(self)
        if self.step == 12:
            raise MemoryError("the machine died")

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_check_finite", killed)
        with pytest.raises(MemoryError):
            run(with_unlabelled, tmp_path / "killed")
    run(with_unlabelled, tmp_path / "killed")
    same(leaves(tmp_path / "whole"), leaves(tmp_path / "killed"))
