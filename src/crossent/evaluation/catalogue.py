"""The metrics of an evaluation: the name and the meaning of each, for tables and reports."""

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
        "… that recalibration removes",
        "the part of the log-loss that a temperature would remove; near 0 means calibrated",
    ),
    "log_loss_refinement": Metric(
        "… that remains", "the part that only a better model can lower: how well it tells the classes apart"
    ),
    "accuracy": Metric("Accuracy", "share of rows whose most probable class is the true one", is_share=True),
    "balanced_accuracy": Metric(
        "Balanced accuracy", "mean recall of the classes: accuracy if every class counts equally", is_share=True
    ),
    "macro_f1": Metric("Macro F1", "precision and recall combined, every class counting equally", is_share=True),
    "brier": Metric(
        "Brier score", "squared distance of the probabilities from the true class; 0 is perfect, 2 is the worst"
    ),
    "brier_calibration": Metric("… that recalibration removes", "as for the log-loss"),
    "brier_refinement": Metric("… that remains", "as for the log-loss"),
    "top_label_calibration_error": Metric(
        "Calibration error", "mean distance of confidence from the share of rows that are right", is_share=True
    ),
    "classwise_calibration_error": Metric(
        "Classwise calibration error",
        "the same for the probability of each class, averaged over classes",
        is_share=True,
    ),
    "debiased_top_label_error": Metric(
        "Debiased calibration error",
        "root mean square distance, without the part that chance adds; 0 if chance explains all of it",
        is_share=True,
    ),
    "debiased_classwise_error": Metric(
        "Debiased classwise error", "the same for the probability of each class", is_share=True
    ),
    "kernel_calibration_error": Metric(
        "Kernel calibration error",
        "whether rows with similar probabilities deviate from them in the same direction, for all classes at once and"
        " without bins; 0 means calibrated",
    ),
}

# Number of label draws in the test of calibration, and the smallest p-value that they allow.
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
