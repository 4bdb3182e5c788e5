"""The model that comes with the package; `docs/model_card.md` describes it."""

from pathlib import Path

from lstm_flax.errors import UserError

SHIPPED_DESCRIPTION = "the model that comes with the package: English film reviews, pos or neg"
SHIPPED = Path(__file__).parent.parent / "shipped_model"


def model_folder(workdir: Path | None) -> Path:
    """Returns the folder of the model to use: the given one, or the one in the package.

    Raises:
        UserError: none is given, and this package contains no model.
    """
    if workdir is not None:
        return workdir
    if not SHIPPED.is_dir():
        raise UserError("this copy of the package contains no model; name one with --workdir=DIR")
    return SHIPPED
