"""Labels that a script hands to `fine_tune`: numpy's own are as good, others are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_flax.display import to_json
from lstm_flax.errors import UserError
from lstm_flax.training.fine_tune import fine_tune
from lstm_flax.training.given_texts import plain_label


@pytest.mark.parametrize("label", [True, np.True_, 1.5, np.float32(1), None, b"pos"])
def test_a_label_that_is_no_name_is_refused(label: Any, tmp_path: Path) -> None:
    nobody: Any = None  # the labels are looked at first
    with pytest.raises(UserError, match=r"labels\[1\] is \w+, not text or a whole number"):
        fine_tune(nobody, ["a film", "a story"], ["a", label], tmp_path)


def test_numpy_labels_are_kept_as_json_has_them() -> None:
    for labels in (np.array([3, 4]), np.array(["neg", "pos"])):
        names = [plain_label(label, 0) for label in labels]
        assert json.loads(to_json(names)) == labels.tolist()
