"""The notebooks run from a clean kernel; their stored form is that of their source.

A cell prints what is stored, as the blocks of a tutorial do (`test_readme.check_printed`), unless
it is tagged `varies`: times, and scores that depend on the processor.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.project.test_readme import check_printed

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
LARGEST = 400_000  # bytes of a file: a browsed page should open at once


def printed(cell: Any) -> str:
    """What a cell printed."""
    outputs = [o for o in cell.outputs if o.output_type == "stream" and o.name == "stdout"]
    return "".join(output.text for output in outputs)


def pictures(cell: Any) -> list[str]:
    """The kinds of the pictures below a cell."""
    kinds = ("image/png", "image/svg+xml")
    return [kind for o in cell.outputs for kind in kinds if kind in o.get("data", {})]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_and_draws_what_is_stored(path: Path) -> None:
    import jupytext
    import nbclient
    import nbformat

    stored = nbformat.read(path, as_version=4)
    run = jupytext.read(path.with_suffix(".py"))
    nbclient.NotebookClient(run, timeout=600, kernel_name="python3").execute()
    drawn = 0
    for ours, theirs in zip(run.cells, stored.cells, strict=True):
        assert (ours.cell_type, ours.source) == (theirs.cell_type, theirs.source)
        if ours.cell_type == "code":
            assert pictures(ours) == pictures(theirs)
            drawn += len(pictures(ours))
            if "varies" not in ours.metadata.get("tags", []):
                check_printed(printed(ours), printed(theirs))
    assert drawn > 0


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_stored_notebook_is_its_source(path: Path) -> None:
    import jupytext
    import nbformat

    assert path.stat().st_size < LARGEST
    stored = nbformat.read(path, as_version=4)
    source = jupytext.read(path.with_suffix(".py"))
    assert [(c.cell_type, c.source) for c in stored.cells] == [
        (c.cell_type, c.source) for c in source.cells
    ]


def test_there_are_notebooks() -> None:
    assert [path.stem[0] for path in NOTEBOOKS] == ["1", "2", "3"]
