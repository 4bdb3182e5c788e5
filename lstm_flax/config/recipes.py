"""`config.recipes`: one section per recipe, absent unless set.

A recipe consists of a section here and a file of the section's name in `lstm_flax/recipes/`;
nothing else names it.
"""

import dataclasses
from typing import TYPE_CHECKING

from lstm_flax.config.fields import Section, field, section_class, to_config_dict
from lstm_flax.errors import UserError

if TYPE_CHECKING:
    from ml_collections import ConfigDict

ONLY_FOR_CLASSIFIERS = ("adversarial", "unlabelled")  # recipes that a language model does not read


@dataclasses.dataclass(frozen=True)
class AdversarialConfig(Section, at="recipes.adversarial"):
    """Losses on perturbed embeddings (Miyato et al. 2017) and on undecided answers.

    Attributes:
        weight: weight of the loss on adversarially perturbed embeddings, added to the clean one; 0
            for none. It doubles a step's time.
        virtual_weight: weight of the divergence between the predictions with and without the
            perturbation that changes them most, on labelled and unlabelled texts alike; 0 for none.
            It triples a step's time.
        epsilon: norm of a text's perturbation of either kind, in units of the root mean square of
            the embeddings.
        entropy_weight: weight of the entropy of the unperturbed predictions, on labelled and
            unlabelled texts alike (Sachan et al. 2019).
    """

    weight: float = field(0.0, at_least=0, at_most=1_000_000)
    virtual_weight: float = field(0.0, at_least=0, at_most=1_000_000)
    epsilon: float = field(5.0, at_least=0, at_most=1_000_000)
    entropy_weight: float = field(0.0, at_least=0, at_most=1_000_000)


@dataclasses.dataclass(frozen=True)
class UnlabelledConfig(Section, at="recipes.unlabelled"):
    """Unlabelled texts in every batch, for losses that need no label.

    Attributes:
        batch_size: rows of unlabelled text added to every batch.
    """

    batch_size: int = field(64, at_least=1)


@dataclasses.dataclass(frozen=True)
class FineTuningConfig(Section, at="recipes.fine_tuning"):
    """Gentle training of the weights of another run (`init_from`), after Howard and Ruder 2018.

    Attributes:
        layer_decay: factor of the updates from each layer to the one below; 1 for equal updates.
        unfreeze_epochs: number of epochs before each next layer joins: the head trains alone at
            first, and the embedding joins last; a layer whose turn never comes keeps its initial
            weights. 0 trains all layers from the start.
    """

    layer_decay: float = field(1.0, above=0, at_most=1)
    unfreeze_epochs: int = field(0, at_least=0)


@dataclasses.dataclass(frozen=True)
class RecipesConfig(Section, at="recipes"):
    """The recipes of a run; each is absent unless set.

    Attributes:
        adversarial: losses on perturbed embeddings.
        unlabelled: unlabelled texts in every batch.
        fine_tuning: gentle training of the weights of another run.
    """

    adversarial: AdversarialConfig | None = None
    unlabelled: UnlabelledConfig | None = None
    fine_tuning: FineTuningConfig | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        losses = self.adversarial or AdversarialConfig()
        self.require(
            self.unlabelled is None or losses.virtual_weight > 0 or losses.entropy_weight > 0,
            "unlabelled.batch_size",
            "no loss reads unlabelled texts; set config.recipes.adversarial.virtual_weight or "
            "entropy_weight, or leave out config.recipes.unlabelled",
        )


def recipe_section(name: str) -> "ConfigDict":
    """Returns a recipe's section with its defaults, for `configs/*.py` to add and change.

    >>> from lstm_flax.config import default_config
    >>> config = default_config()
    >>> config.recipes.fine_tuning = recipe_section("fine_tuning")
    >>> config.recipes.fine_tuning.layer_decay = 0.5

    Raises:
        UserError: no recipe has this name.
    """
    known = {defined.name: defined.type for defined in dataclasses.fields(RecipesConfig)}
    section = section_class(known.get(name))
    if section is None:
        raise UserError(f"config.recipes.{name}: no such recipe; known are {', '.join(known)}")
    return to_config_dict(section())
