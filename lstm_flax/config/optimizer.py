"""`config.optimizer`: the optimizer and its schedule."""

import dataclasses

from lstm_flax.config.fields import Section, field


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(Section, at="optimizer"):
    """The optimizer and its schedule.

    Attributes:
        name: `adam`, `adamw` (decay on kernels only) or `sgd`.
        learning_rate: the peak rate.
        schedule: `constant`, or `cosine` (linear warm-up, then a cosine to zero at the last epoch).
        warmup_fraction: fraction of all steps, for `cosine`.
        weight_decay: for `adamw`: each step shrinks a kernel by learning_rate * weight_decay.
        b1: decay of the first moment (`adam`, `adamw`), or the momentum of `sgd`.
        b2: decay of the second moment (`adam`, `adamw`).
        clip_norm: largest global norm of a step's gradient; 0 for no clipping.
        accumulation_steps: number of batches whose gradients make one update.
    """

    name: str = field("adamw", choices=("adam", "adamw", "sgd"))
    learning_rate: float = field(2e-3, above=0)
    schedule: str = field("cosine", choices=("constant", "cosine"))
    warmup_fraction: float = field(0.05, at_least=0, below=1)
    weight_decay: float = field(0.01, at_least=0, at_most=1_000_000)
    b1: float = field(0.9, at_least=0, below=1)
    b2: float = field(0.999, at_least=0, below=1)
    clip_norm: float = field(1.0, at_least=0)
    accumulation_steps: int = field(1, at_least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            self.weight_decay == 0 or self.name == "adamw",
            "weight_decay",
            "only adamw decays weights; set it to 0",
        )
