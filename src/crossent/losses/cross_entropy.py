"""Cross entropy of logits and targets.

**Shape.** ``n`` rows, ``K`` classes: logits ``(n, K)``, ``(n, K, ...)`` or ``(K,)`` and a target of class indices, of
the logits' shape without K, or of distributions, of the logits' shape; out comes a scalar, or one value for each index.
Papers call the logits z, the target y and the softmax of the logits p: the loss of a row is ``-log p[y]``.
"""

from torch import Tensor

from crossent.checks import check_target, is_int64
from crossent.kernels.rows import BadTargetError
from crossent.losses.native import can_run_native, native_cross_entropy
from crossent.losses.plain import plain_cross_entropy
from crossent.losses.small import is_small, small_cross_entropy
from crossent.losses.terms import Empty, LossTerms, Reduction, Smoothing
from crossent.losses.torch_names import ClassValues, as_class_values, class_weight_of, named_reduction


def cross_entropy(  # noqa: PLR0913 - all that torch takes, and more
    logits: Tensor,
    target: Tensor,
    weight: ClassValues | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    *,
    class_weight: ClassValues | None = None,
    sample_weight: Tensor | None = None,
    temperature: float = 1.0,
    log_prior: ClassValues | None = None,
    z_loss: float = 0.0,
    softcap: float | None = None,
    focal_gamma: float = 0.0,
    class_mask: Tensor | None = None,
    normalizer: float | None = None,
    empty: Empty = "nan",
    smoothing: Smoothing = "weighted",
) -> Tensor:
    """Cross entropy in nats, as `torch.nn.functional.cross_entropy` defines it, and more.

    The arguments are torch's, in torch's order, and then more by name: a call of torch's loss is a call of this one.

    It keeps digits that torch loses: a row whose target is its largest logit is summed as ``log1p`` of the other
    classes, so that logits (20, 0, 0) give 4.12e-9, and a gradient of this size, while torch gives 0 in float32. Zero
    weight on an infinite loss counts as zero. Rows that are ignored are never read, so NaN in them does no harm.

    Parameters
    ----------
    logits
        ``(n, K)``, ``(n, K, ...)`` or ``(K,)``, of any floating dtype; half precision is computed in float32.
    target
        Class indices of the logits' shape without K, or distributions of the logits' shape, which need not sum to one.
    weight, class_weight
        ``(K,)`` weight of each class, a tensor, a list or an array: torch's name, which is also in torch's place, and
        the name that says what it is.
    size_average, reduce
        What torch had before `reduction`, and still takes: where one is given, it takes the place of `reduction`.
    ignore_index
        Rows with this class index, which can be any whole number of 64 bits, are ignored.
    reduction
        ``"none"`` gives one value for each row; ``"sum"`` adds them; ``"mean"`` divides the sum by the weights of the
        rows that count: the class weight of their index (for distributions 1, as in torch) times their sample weight.
    label_smoothing
        Share of each target's weight, 0 to 1, that goes evenly to all classes (Szegedy et al. 2016).
    sample_weight
        Weight of each row, of the shape of the class indices and of any dtype; rows with weight 0 are ignored, so a
        boolean mask of the rows that count works, too.
    temperature
        Divides the logits, 1e-6 to 1e6 (Guo et al. 2017).
    log_prior
        ``(K,)`` added to the logits after the temperature: logit adjustment (Menon et al. 2021).
    z_loss
        Adds ``z_loss * log(Z) ** 2`` to the loss of a row, with Z the sum of the exponentials of its logits, to keep
        these from drifting (PaLM, Chowdhery et al. 2022); weighted as the row is in ``"mean"``. From 0 to 1e30.
    softcap
        Turns the logits into ``softcap * tanh(logits / softcap)`` at first (Gemma 2, Gemma Team 2024). From
        1e-30 to 1e30.
    focal_gamma
        Multiplies the loss of each class by ``(1 - p) ** focal_gamma``, p being its probability (Lin et al. 2017). From
        0 to 1e30.
    class_mask
        True where a class is possible, of shape ``(K,)`` or of the logits' shape. The logits of impossible classes are
        never read, they get no share of label smoothing, and a target there has an infinite loss.
    normalizer
        From 1e-30 to 1e30. Divides the sum in ``"mean"`` in place of the weights, such as the number of rows in all
        batches or processes.
    empty
        What ``"mean"`` gives where the weights sum to zero: ``"nan"`` as in torch, or ``"zero"``. Gradients are zero
        either way.
    smoothing
        Whether the class weights also apply to the smoothed part of the target: ``"weighted"`` as in torch, or
        ``"unweighted"``, so that heavy rare classes do not attract every row.

    Returns
    -------
    Tensor
        A scalar, or one value for each row; float32 or wider for any dtype of the logits.

    Raises
    ------
    ShapeError
        If shapes or dtypes do not fit, or a class index is out of range.
    SettingError
        If an option is out of bounds, or class weights are given under both names.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[20.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    >>> cross_entropy(logits, torch.tensor([0, 2]), reduction="none")
    tensor([4.1223e-09, 1.0986e+00])
    """
    if (
        weight is class_weight is sample_weight is log_prior is class_mask is None
        and size_average is reduce is softcap is normalizer is None
        and label_smoothing == z_loss == focal_gamma == 0
        and temperature == 1
        and reduction in ("mean", "sum")
        and empty == "nan"
        and smoothing == "weighted"
        and (ignore_index == -100 or is_int64(ignore_index))
        and is_small(logits, target)
    ):
        try:
            return small_cross_entropy(logits, target, ignore_index, reduction)
        except BadTargetError:
            pass  # explained below
    check_target(logits, target)
    terms = LossTerms(
        class_weight=class_weight_of(weight, class_weight, logits),
        ignore_index=ignore_index,
        reduction=named_reduction(reduction, size_average, reduce),
        label_smoothing=label_smoothing,
        sample_weight=sample_weight,
        temperature=temperature,
        log_prior=as_class_values("log_prior", log_prior, logits),
        z_loss=z_loss,
        softcap=softcap,
        focal_gamma=focal_gamma,
        class_mask=class_mask,
        normalizer=normalizer,
        empty=empty,
        smoothing=smoothing,
    )
    if can_run_native((logits,), target, terms):
        return native_cross_entropy(logits, target, terms)
    return plain_cross_entropy(logits, target, terms)
