"""The loss in a plain PyTorch loop: class weights for a rare class, and label smoothing."""

import torch

import crossent as ce

generator = torch.Generator().manual_seed(0)
rows = torch.randn(600, 2, generator=generator)
target = (rows[:, 0] > 0).long() + (rows[:, 1] > 1.5).long()

model = torch.nn.Linear(2, 3)
class_weight = 1 / torch.bincount(target, minlength=3)
loss_function = ce.nn.CrossEntropyLoss(class_weight, label_smoothing=0.05)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)

for _ in range(200):
    optimizer.zero_grad()
    loss = loss_function(model(rows), target)
    loss.backward()
    optimizer.step()

accuracy = (model(rows).argmax(1) == target).float().mean()
print(f"loss {loss.item():.3f}, accuracy {accuracy:.0%}")
