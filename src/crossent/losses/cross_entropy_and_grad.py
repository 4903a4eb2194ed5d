"""Cross entropy and its gradient in one call, for training loops without autograd at the last layer.

**Shape.** ``n`` rows, ``K`` classes: logits and target as in `cross_entropy`; out come the loss and a gradient of the
logits' shape. Papers call it p - y: the softmax less the target.
"""

import torch
from torch import Tensor

from crossent.checks import check_out, check_target
from crossent.losses.native import can_run_native, native_cross_entropy_and_grad
from crossent.losses.overlap import check_out_is_apart, lie_in_memory
from crossent.losses.plain import plain_cross_entropy
from crossent.losses.terms import Empty, LossTerms, Reduction, Smoothing
from crossent.losses.torch_names import ClassValues, as_class_values, class_weight_of


def cross_entropy_and_grad(  # noqa: PLR0913 - all that cross_entropy takes
    logits: Tensor,
    target: Tensor,
    *,
    weight: ClassValues | None = None,
    class_weight: ClassValues | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
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
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Cross entropy and its derivative by the logits, computed in the same pass.

    The results are not part of an autograd graph. Each class takes one exponential in place of two, and the logits are
    read once; with ``out=logits.detach()`` the gradient takes no further memory.

    Parameters
    ----------
    logits, target, weight, class_weight, ignore_index, reduction, label_smoothing
        As in `crossent.cross_entropy`.
    sample_weight, temperature, log_prior, z_loss, softcap, focal_gamma, class_mask, normalizer, empty, smoothing
        As in `crossent.cross_entropy`.
    out
        Tensor that the gradient is written to, of the shape, dtype and device of the logits. It may share memory with
        the logits in any way, and with no other argument.

    Returns
    -------
    tuple
        The loss as `crossent.cross_entropy` gives it, and the gradient of its sum, of shape and dtype of the logits.

    Raises
    ------
    ShapeError
        If shapes or dtypes do not fit, `out` shares memory with anything other than the logits or overlaps itself, or a
        class index is out of range; nothing is written then.
    SettingError
        If an option is out of bounds.

    Examples
    --------
    >>> import torch
    >>> layer, rows = torch.nn.Linear(4, 3), torch.ones(2, 4)
    >>> logits = layer(rows)
    >>> loss, grad = cross_entropy_and_grad(logits, torch.tensor([0, 2]), out=logits.detach())
    >>> logits.backward(grad)
    """
    check_target(logits, target)
    terms = LossTerms(
        class_weight=class_weight_of(weight, class_weight, logits),
        ignore_index=ignore_index,
        reduction=reduction,
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
    if out is not None:
        check_out(logits, out)
    is_compiling = torch.compiler.is_compiling()
    with torch.no_grad():
        if not is_compiling and can_run_native((logits,), target, terms):
            return native_cross_entropy_and_grad(logits, target, terms, out)
    inputs = target, terms.class_weight, sample_weight, terms.log_prior, class_mask
    if out is not None and not is_compiling and lie_in_memory(out, *inputs):
        check_out_is_apart(out, target, terms)
    leaf = logits.detach().requires_grad_()
    with torch.enable_grad():
        loss = plain_cross_entropy(leaf, target, terms)
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    with torch.no_grad():
        return loss.detach(), gradient if out is None else out.copy_(gradient)
