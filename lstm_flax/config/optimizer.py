"""`config.optimizer`: how gradients become updates."""

import dataclasses

from lstm_flax.config.fields import require


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How gradients become updates.

    Attributes:
        name: `adam`, `adamw` (decay on kernels only) or `sgd`.
        learning_rate: the peak.
        schedule: `constant`, or `cosine` (linear warm-up, then a cosine to zero at the last epoch).
        warmup_fraction: of all steps, for `cosine`.
        weight_decay: of `adamw`: a kernel shrinks by learning_rate * weight_decay a step.
        b1: decay of the first moment (`adam`, `adamw`), or the momentum of `sgd`.
        b2: decay of the second moment (`adam`, `adamw`).
        clip_norm: largest global norm of a step's gradient; 0 for no clipping.
        accumulation_steps: batches whose gradients make one update.
        layer_decay: factor of the updates from each layer to the one below; below 1 to fine-tune
            weights of another run (`init_from`).
        unfreeze_epochs: epochs that the head learns alone, and then each layer before the one
            below joins, the embedding last; a layer whose turn the run does not reach stays as it
            began. To fine-tune as well; 0 for all layers from the start.
    """

    name: str = "adamw"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warmup_fraction: float = 0.05
    weight_decay: float = 0.01
    b1: float = 0.9
    b2: float = 0.999
    clip_norm: float = 1.0
    accumulation_steps: int = 1
    layer_decay: float = 1.0
    unfreeze_epochs: int = 0

    def __post_init__(self) -> None:
        for name, allowed in {
            "name": ("adam", "adamw", "sgd"),
            "schedule": ("constant", "cosine"),
        }.items():
            value = getattr(self, name)
            require(value in allowed, f"optimizer.{name}", value, f"choose {' or '.join(allowed)}")
        require(
            self.learning_rate > 0,
            "optimizer.learning_rate",
            self.learning_rate,
            "must be positive",
        )
        for name in ("warmup_fraction", "b1", "b2"):
            value = getattr(self, name)
            require(0 <= value < 1, f"optimizer.{name}", value, "must be at least 0 and below 1")
        require(
            0 < self.layer_decay <= 1,
            "optimizer.layer_decay",
            self.layer_decay,
            "must lie above 0 and be at most 1",
        )
        for name in ("weight_decay", "clip_norm", "unfreeze_epochs"):
            value = getattr(self, name)
            require(value >= 0, f"optimizer.{name}", value, "must not be negative")
        require(
            self.weight_decay == 0 or self.name == "adamw",
            "optimizer.weight_decay",
            self.weight_decay,
            "only adamw decays weights; set it to 0",
        )
        require(
            self.accumulation_steps >= 1,
            "optimizer.accumulation_steps",
            self.accumulation_steps,
            "must be at least 1",
        )
