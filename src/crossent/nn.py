"""The losses as torch modules."""

from typing import Literal, final

import torch
from torch import Tensor

from crossent.losses.cross_entropy import Reduction, cross_entropy


@final
class CrossEntropyLoss(torch.nn.Module):
    """`crossent.cross_entropy` with its options kept, in place of `torch.nn.CrossEntropyLoss`.

    Parameters
    ----------
    class_weight, ignore_index, reduction, label_smoothing, temperature, log_prior, normalizer, empty
        As in `crossent.cross_entropy`. `class_weight` and `log_prior` are buffers: they move with the module and are
        saved with its state.

    Examples
    --------
    >>> loss = CrossEntropyLoss(label_smoothing=0.1)
    >>> loss(torch.zeros(2, 4), torch.tensor([1, 3]))
    tensor(1.3863)
    """

    class_weight: Tensor | None
    log_prior: Tensor | None

    def __init__(
        self,
        class_weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
        *,
        temperature: float = 1.0,
        log_prior: Tensor | None = None,
        normalizer: float | None = None,
        empty: Literal["nan", "zero"] = "nan",
    ) -> None:
        super().__init__()
        self.register_buffer("class_weight", class_weight)
        self.register_buffer("log_prior", log_prior)
        self.ignore_index = ignore_index
        self.reduction: Reduction = reduction
        self.label_smoothing = label_smoothing
        self.temperature = temperature
        self.normalizer = normalizer
        self.empty: Literal["nan", "zero"] = empty

    def forward(self, logits: Tensor, target: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Return the loss: a scalar, or one value a row; shapes as in `crossent.cross_entropy`."""
        return cross_entropy(
            logits,
            target,
            self.class_weight,
            self.ignore_index,
            self.reduction,
            self.label_smoothing,
            sample_weight=sample_weight,
            temperature=self.temperature,
            log_prior=self.log_prior,
            normalizer=self.normalizer,
            empty=self.empty,
        )

    def extra_repr(self) -> str:
        """Return the options as the module's representation shows them."""
        return f"reduction={self.reduction!r}, label_smoothing={self.label_smoothing}, temperature={self.temperature}"
