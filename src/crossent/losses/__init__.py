"""Softmax, cross entropy and their targets: pure functions on torch tensors.

`plain` is the definition, in a few operations of torch. `native` (the C++ kernels), `small` (few logits) and
`operators` (under torch.compile) compute the same values faster; `cross_entropy` chooses among them. The options of a
loss travel by name: in `terms.LossTerms` to all of these, and in `RowTerms` of the kernels to the native library.

**Shape.** ``n`` rows, ``K`` classes (``C`` for layers with many): logits are ``(n, K)`` or ``(n, K, ...)``, a target is
``(n, ...)`` class indices or a distribution of the logits' shape.
"""
