"""`config.training`: the training loop."""

import dataclasses

from lstm_flax.config.fields import Section, field


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Section, at="training"):
    """The training loop.

    Attributes:
        seed: seed of initial weights, dropout and the order of batches.
        epochs: passes over the training part.
        max_steps: number of batches after which the run ends even within an epoch; 0 for no limit.
        label_smoothing: mass taken from the true label and spread over all labels.
        class_weights: weight of each label's examples in the loss; empty for equal weights.
        balance_classes: True weighs each label by the inverse of its count in the training part.
        ema_decay: decay per step of the averaged weights used for evaluation; 0 for none.
        early_stopping_patience: epochs without a better development score before the run ends;
            0 to never stop early.
        log_interval: steps between two log lines.
        checkpoint_interval: steps between two saves of `last/`; the end of every epoch saves too.
    """

    seed: int = field(0, at_least=-(2**63), at_most=2**63 - 1)
    epochs: int = field(3, at_least=1)
    max_steps: int = field(0, at_least=0)
    label_smoothing: float = field(0.0, at_least=0, below=1)
    class_weights: tuple[float, ...] = field((), at_least=1e-6, at_most=1_000_000)
    balance_classes: bool = False
    ema_decay: float = field(0.998, at_least=0, below=1)
    early_stopping_patience: int = field(0, at_least=0, changeable=True)
    log_interval: int = field(50, at_least=1, changeable=True)
    checkpoint_interval: int = field(200, at_least=1, changeable=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            not (self.class_weights and self.balance_classes),
            "balance_classes",
            "class_weights are given already",
        )
