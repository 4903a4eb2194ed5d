"""Run the blocks of why-cross-entropy.md as one program, and draw its figures from the variables that they leave.

python docs/draw_why_cross_entropy.py docs/images
"""

import re
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crossent.evaluation.result import Evaluation

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#8a8f98"
COLOURS = {"cross entropy": BLUE, "squared error": ORANGE}
# Bins of fewer rows say little.
FEWEST_ROWS = 10
STYLE: dict[Any, Any] = {"axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY, "font.size": 10}


def run_page() -> dict[str, Any]:
    """Return the variables of the page."""
    text = Path(__file__).with_name("why-cross-entropy.md").read_text(encoding="utf-8")
    variables: dict[str, Any] = {}
    exec("\n".join(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)), variables)
    return variables


def save(figure: Figure, path: Path) -> None:
    """Write a small PNG that does not change while the figure does not."""
    figure.savefig(path, dpi=110, metadata={"Software": None})


def draw_lines(lines: dict[str, tuple[Any, Any]], x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """Draw a line for each loss."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axis = figure.subplots()
    for name, (x, y) in lines.items():
        axis.plot(x, y, color=COLOURS[name], label=name)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    axis.legend(frameon=False)
    return figure, axis


def draw_reliability(evaluations: dict[str, Evaluation]) -> Figure:
    """Draw reliability diagrams side by side, each with its accuracy, mean confidence and log-loss."""
    figure = Figure(figsize=(2.5 * len(evaluations) + 0.6, 3.3), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(evaluations), sharex=True, sharey=True))
    for axis, (name, evaluation) in zip(axes, evaluations.items(), strict=True):
        diagram = evaluation.reliability
        held = diagram.count >= FEWEST_ROWS
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
        axis.plot(diagram.confidence[held], diagram.frequency[held], color=BLUE, marker="o", markersize=3)
        axis.bar(diagram.edges[:-1] + 1 / 30, diagram.count / diagram.count.sum(), width=0.06, color=GREY, alpha=0.4)
        figures = evaluation.metrics["accuracy"].value, evaluation.metrics["log_loss"].value
        axis.set_title(f"{name}\naccuracy {figures[0]:.2f}, log-loss {figures[1]:.2f}", fontsize=9)
    figure.supxlabel(
        f"confidence; points are bins of {FEWEST_ROWS} rows and more, grey is the share of the rows", fontsize=10
    )
    axes[0].set_ylabel("share that was right")
    return figure


def main(folder: Path) -> None:
    """Draw all figures into a folder."""
    page = run_page()
    with mpl.rc_context(STYLE):
        margins = page["margins"].numpy()
        pull = {name: (margins, norms) for name, norms in page["pull"].items()}
        figure, axis = draw_lines(pull, "logit of the true class, above the others", "norm of the gradient")
        axis.set_title("← confidently wrong          confidently right →", fontsize=10)
        save(figure, folder / "why-gradients.png")
        steps = np.arange(1, 501)
        relearnt = {name: (steps, history[:, 1]) for name, history in page["relearnt"].items()}
        figure, _ = draw_lines(relearnt, "steps after the labels were put right", "accuracy")
        save(figure, folder / "why-relearning.png")
        curves = {name: (steps, history[:, 0]) for name, history in page["curves"].items()}
        figure, axis = draw_lines(curves, "step", "log-loss")
        axis.set_ylim(0.45, 1.1)
        save(figure, folder / "why-convergence.png")
        save(draw_reliability(page["hidden"].evaluations), folder / "why-accuracy-hides.png")
        save(draw_reliability(page["judged"]), folder / "why-confidence.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
