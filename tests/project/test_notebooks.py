"""The notebooks run from a clean kernel, and their stored form is that of their source."""

from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_is_its_source(path: Path) -> None:
    import jupytext
    import nbclient
    import nbformat

    stored = nbformat.read(path, as_version=4)
    source = jupytext.read(path.with_suffix(".py"))
    assert [(c.cell_type, c.source) for c in stored.cells] == [
        (c.cell_type, c.source) for c in source.cells
    ]
    outputs = [o for c in stored.cells if c.cell_type == "code" for o in c.outputs]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    nbclient.NotebookClient(source, timeout=300, kernel_name="python3").execute()


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
