"""The figures of an evaluation: what each is called and what it means, for tables and reports."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A figure in words; a share is shown in percent."""

    title: str
    meaning: str
    is_share: bool = False


METRICS = {
    "log_loss": Metric("Log-loss", "mean surprise at the true class, in nats; 0 is perfect"),
    "log_loss_calibration": Metric(
        "… that recalibration removes", "the part of the log-loss that a temperature would take away; near 0 is honest"
    ),
    "log_loss_refinement": Metric(
        "… that remains", "the part that only a better model can lower: how well it tells the classes apart"
    ),
    "accuracy": Metric("Accuracy", "share of rows whose most probable class is the true one", is_share=True),
    "balanced_accuracy": Metric("Balanced accuracy", "accuracy with every class counting the same", is_share=True),
    "macro_f1": Metric("Macro F1", "precision and recall in one, every class counting the same", is_share=True),
    "brier": Metric("Brier score", "squared distance from probabilities to what happened; 0 is perfect, 2 the worst"),
    "brier_calibration": Metric("… that recalibration removes", "as for the log-loss"),
    "brier_refinement": Metric("… that remains", "as for the log-loss"),
    "top_label_calibration_error": Metric(
        "Calibration error", "how far confidence is from the share that was right, on average", is_share=True
    ),
    "classwise_calibration_error": Metric(
        "Classwise calibration error",
        "the same for the probability of each class, averaged over classes",
        is_share=True,
    ),
    "debiased_top_label_error": Metric(
        "Debiased calibration error",
        "root mean square, without what chance adds; 0 where chance explains all of it",
        is_share=True,
    ),
    "debiased_classwise_error": Metric(
        "Debiased classwise error", "the same for the probability of each class", is_share=True
    ),
    "kernel_calibration_error": Metric(
        "Kernel calibration error",
        "whether rows with like probabilities miss them alike, all classes at once, without bins; 0 is honest",
    ),
}

# Labels drawn for the test of calibration, and the least p-value that leaves.
DRAWS = 199
LEAST_P_VALUE = 1 / (1 + DRAWS)

# Means over rows and debiased errors, whose differences can be resampled in pairs.
COMPARED = (
    "log_loss",
    "log_loss_calibration",
    "log_loss_refinement",
    "brier",
    "accuracy",
    "debiased_top_label_error",
    "debiased_classwise_error",
    "kernel_calibration_error",
)
