"""The losses as torch modules."""

from typing import final

import torch
from torch import Tensor

from crossent.errors import SettingError
from crossent.losses.cross_entropy import cross_entropy
from crossent.losses.linear_cross_entropy import linear_cross_entropy
from crossent.losses.terms import Empty, LossTerms, Reduction, Smoothing
from crossent.losses.torch_names import ClassValues, as_class_values, class_weight_of, named_reduction


@final
class CrossEntropyLoss(torch.nn.Module):
    """`crossent.cross_entropy` with fixed options, in place of `torch.nn.CrossEntropyLoss`.

    Parameters
    ----------
    weight, size_average, ignore_index, reduce, reduction, label_smoothing, class_weight
        As in `crossent.cross_entropy`, in torch's order.
    temperature, log_prior, z_loss, softcap, focal_gamma, normalizer, empty, smoothing
        As in `crossent.cross_entropy`. The class weights, as `weight`, and `log_prior` are buffers: they move with the
        module and are saved with its state, which loads that of torch's module.

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

    weight: Tensor | None
    log_prior: Tensor | None

    def __init__(  # noqa: PLR0913 - all that torch takes, and more
        self,
        weight: ClassValues | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
        *,
        class_weight: ClassValues | None = None,
        temperature: float = 1.0,
        log_prior: ClassValues | None = None,
        z_loss: float = 0.0,
        softcap: float | None = None,
        focal_gamma: float = 0.0,
        normalizer: float | None = None,
        empty: Empty = "nan",
        smoothing: Smoothing = "weighted",
    ) -> None:
        super().__init__()
        # Bad options are refused when the module is made, not in its first step.
        terms = LossTerms(
            class_weight=class_weight_of(weight, class_weight),
            ignore_index=ignore_index,
            reduction=named_reduction(reduction, size_average, reduce),
            label_smoothing=label_smoothing,
            temperature=temperature,
            log_prior=as_class_values("log_prior", log_prior),
            z_loss=z_loss,
            softcap=softcap,
            focal_gamma=focal_gamma,
            normalizer=normalizer,
            empty=empty,
            smoothing=smoothing,
        )
        self.register_buffer("weight", terms.class_weight)
        self.register_buffer("log_prior", terms.log_prior)
        self.ignore_index = ignore_index
        self.reduction: Reduction = terms.reduction
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
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
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
            for name, values in (("weight", self.weight), ("log_prior", self.log_prior))
            if values is not None
        ]
        return ", ".join(tensors + changed)


@final
class LinearCrossEntropyLoss(torch.nn.Module):
    """`crossent.linear_cross_entropy` of a layer that the module holds.

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
        if not isinstance(linear, torch.nn.Linear):
            raise SettingError(
                "The first argument is the layer that gives the logits.",
                f"It is a {type(linear).__name__}.",
                "Give torch.nn.Linear(in_features, num_classes).",
            )
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
            linear_bias=self.linear.bias,
            weight=self.loss.weight,
            ignore_index=self.loss.ignore_index,
            reduction=self.loss.reduction,
            label_smoothing=self.loss.label_smoothing,
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
