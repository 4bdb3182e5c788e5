"""`config.training`: the loop and its losses."""

import dataclasses

from lstm_flax.config.fields import changeable, require


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The loop.

    Attributes:
        seed: of initial weights, dropout and the order of batches.
        epochs: passes over the training part.
        max_steps: batches after which the run ends, whatever its epochs; 0 for no such limit.
        label_smoothing: mass taken from the true label and spread over all labels.
        adversarial_weight: of the loss on adversarially perturbed embeddings, beside the clean
            one; 0 for none. It doubles a step's time.
        virtual_adversarial_weight: of the divergence between the answers with and without the
            perturbation that moves them most, on labelled and unlabelled texts alike; 0 for none.
            It triples a step's time.
        adversarial_epsilon: norm of a text's perturbation, in units of the root mean square of the
            embeddings, of either kind.
        entropy_weight: of the unperturbed answers' entropy, on labelled and unlabelled texts alike.
        teachers: runs, comma-separated. The unlabelled texts join the training part, each with the
            label of the highest probability in the mean over these runs, whether they agree or
            not (self-training); None for none.
        class_weights: weight of each label's examples in the loss; empty for equal weights.
        balance_classes: weights inverse to the labels' counts in the training part.
        ema_decay: decay a step of the averaged weights used for evaluation; 0 for none.
        early_stopping_patience: epochs without a better development score before the run ends;
            0 to never stop early.
        log_interval: steps between two lines of the log.
        checkpoint_interval: steps between two saves of `last/`; every epoch's end saves too.
    """

    seed: int = 0
    epochs: int = 3
    max_steps: int = 0
    label_smoothing: float = 0.0
    adversarial_weight: float = 0.0
    virtual_adversarial_weight: float = 0.0
    adversarial_epsilon: float = 5.0
    entropy_weight: float = 0.0
    teachers: str | None = None
    class_weights: tuple[float, ...] = ()
    balance_classes: bool = False
    ema_decay: float = 0.998
    early_stopping_patience: int = changeable(0)
    log_interval: int = changeable(50)
    checkpoint_interval: int = changeable(200)

    def __post_init__(self) -> None:
        for name in ("epochs", "log_interval", "checkpoint_interval"):
            value = getattr(self, name)
            require(value >= 1, f"training.{name}", value, "must be at least 1")
        for name in ("label_smoothing", "ema_decay"):
            value = getattr(self, name)
            require(0 <= value < 1, f"training.{name}", value, "must be at least 0 and below 1")
        for name in (
            "max_steps",
            "adversarial_weight",
            "virtual_adversarial_weight",
            "adversarial_epsilon",
            "entropy_weight",
        ):
            value = getattr(self, name)
            require(value >= 0, f"training.{name}", value, "must not be negative")
        require(
            self.teachers is None or any(name.strip() for name in self.teachers.split(",")),
            "training.teachers",
            self.teachers,
            "names no run; name runs, separated by commas, or leave it empty",
        )
        require(
            all(w > 0 for w in self.class_weights),
            "training.class_weights",
            self.class_weights,
            "must be positive",
        )
        require(
            not (self.class_weights and self.balance_classes),
            "training.balance_classes",
            self.balance_classes,
            "class_weights are given already",
        )
        require(
            self.early_stopping_patience >= 0,
            "training.early_stopping_patience",
            self.early_stopping_patience,
            "must not be negative",
        )
