"""The losses as torch modules."""

from typing import final

import torch
from torch import Tensor

from crossent.losses.cross_entropy import cross_entropy
from crossent.losses.linear_cross_entropy import linear_cross_entropy
from crossent.losses.terms import Empty, LossTerms, Reduction, Smoothing


@final
class CrossEntropyLoss(torch.nn.Module):
    """`crossent.cross_entropy` with fixed options, in place of `torch.nn.CrossEntropyLoss`.

    Parameters
    ----------
    class_weight, ignore_index, reduction, label_smoothing
        As in `crossent.cross_entropy`, in torch's order.
    temperature, log_prior, z_loss, softcap, focal_gamma, normalizer, empty, smoothing
        As in `crossent.cross_entropy`. `class_weight` and `log_prior` are buffers: they move with the module and are
        saved with its state.

    Raises
    ------
    SettingError
        If an option is out of bounds.

    Examples
    --------
    >>> loss = CrossEntropyLoss(label_smoothing=0.1)
    >>> loss
    CrossEntropyLoss(label_smoothing=0.1)
    >>> loss(torch.zeros(2, 4), torch.tensor([1, 3]))
    tensor(1.3863)
    """

    class_weight: Tensor | None
    log_prior: Tensor | None

    def __init__(  # noqa: PLR0913 - all that torch takes, and more
        self,
        class_weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
        *,
        temperature: float = 1.0,
        log_prior: Tensor | None = None,
        z_loss: float = 0.0,
        softcap: float | None = None,
        focal_gamma: float = 0.0,
        normalizer: float | None = None,
        empty: Empty = "nan",
        smoothing: Smoothing = "weighted",
    ) -> None:
        super().__init__()
        # Bad options are refused when the module is made, not in its first step.
        LossTerms(
            class_weight=class_weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
            temperature=temperature,
            log_prior=log_prior,
            z_loss=z_loss,
            softcap=softcap,
            focal_gamma=focal_gamma,
            normalizer=normalizer,
            empty=empty,
            smoothing=smoothing,
        )
        self.register_buffer("class_weight", class_weight)
        self.register_buffer("log_prior", log_prior)
        self.ignore_index = ignore_index
        self.reduction: Reduction = reduction
        self.label_smoothing = label_smoothing
        self.temperature = temperature
        self.z_loss = z_loss
        self.softcap = softcap
        self.focal_gamma = focal_gamma
        self.normalizer = normalizer
        self.empty: Empty = empty
        self.smoothing: Smoothing = smoothing

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        sample_weight: Tensor | None = None,
        class_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the loss: a scalar, or one value a row; shapes and errors as in `crossent.cross_entropy`."""
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
            z_loss=self.z_loss,
            softcap=self.softcap,
            focal_gamma=self.focal_gamma,
            class_mask=class_mask,
            normalizer=self.normalizer,
            empty=self.empty,
            smoothing=self.smoothing,
        )

    def extra_repr(self) -> str:
        """Return the options that are not at their defaults, as the module's representation shows them."""
        options: dict[str, tuple[object, object]] = {
            "ignore_index": (self.ignore_index, -100),
            "reduction": (self.reduction, "mean"),
            "label_smoothing": (self.label_smoothing, 0.0),
            "temperature": (self.temperature, 1.0),
            "z_loss": (self.z_loss, 0.0),
            "softcap": (self.softcap, None),
            "focal_gamma": (self.focal_gamma, 0.0),
            "normalizer": (self.normalizer, None),
            "empty": (self.empty, "nan"),
            "smoothing": (self.smoothing, "weighted"),
        }
        changed = [f"{name}={value!r}" for name, (value, default) in options.items() if value != default]
        tensors = [
            f"{name}=tensor of shape {tuple(values.shape)}"
            for name, values in (("class_weight", self.class_weight), ("log_prior", self.log_prior))
            if values is not None
        ]
        return ", ".join(tensors + changed)


@final
class LinearCrossEntropyLoss(torch.nn.Module):
    """`crossent.linear_cross_entropy` of a layer that the module holds, in place of `torch.nn.LinearCrossEntropyLoss`.

    Parameters
    ----------
    linear
        The layer that gives the logits. To predict, call it: ``module.linear(input)``.
    loss
        The options; by default those of a new `CrossEntropyLoss`.

    Examples
    --------
    >>> linear = torch.nn.Linear(8, 100_000)
    >>> loss = LinearCrossEntropyLoss(linear, CrossEntropyLoss(label_smoothing=0.1))
    >>> loss
    LinearCrossEntropyLoss(
      (linear): Linear(in_features=8, out_features=100000, bias=True)
      (loss): CrossEntropyLoss(label_smoothing=0.1)
    )
    >>> loss(torch.randn(2, 8), torch.tensor([1, 99_999])).backward()
    """

    def __init__(self, linear: torch.nn.Linear, loss: CrossEntropyLoss | None = None) -> None:
        super().__init__()
        self.linear = linear
        self.loss = CrossEntropyLoss() if loss is None else loss

    def forward(
        self,
        input: Tensor,  # noqa: A002 - torch's name
        target: Tensor,
        sample_weight: Tensor | None = None,
        class_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the loss: a scalar, or one value a row; shapes and errors as in `crossent.linear_cross_entropy`."""
        return linear_cross_entropy(
            input,
            self.linear.weight,
            target,
            self.linear.bias,
            self.loss.class_weight,
            self.loss.ignore_index,
            self.loss.reduction,
            self.loss.label_smoothing,
            sample_weight=sample_weight,
            temperature=self.loss.temperature,
            log_prior=self.loss.log_prior,
            z_loss=self.loss.z_loss,
            softcap=self.loss.softcap,
            focal_gamma=self.loss.focal_gamma,
            class_mask=class_mask,
            normalizer=self.loss.normalizer,
            empty=self.loss.empty,
            smoothing=self.loss.smoothing,
        )
