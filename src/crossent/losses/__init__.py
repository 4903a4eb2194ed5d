"""Softmax, cross entropy and their targets: pure functions on torch tensors.

`plain` is the definition, in a few operations of torch. `native` (the C++ kernels), `small` (few logits) and
`operators` (under torch.compile) compute the same, faster; `cross_entropy` chooses among them.
"""
