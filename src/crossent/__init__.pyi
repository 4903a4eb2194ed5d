# The table of contents: every public name and its home. The package reads it, and imports a name when it is first used.
from . import datasets as datasets
from . import kernels as kernels
from . import nn as nn
from .calibration.calibrate import calibrate as calibrate
from .calibration.conformal import conformal_sets as conformal_sets
from .calibration.prior import estimate_prior as estimate_prior
from .calibration.prior import shift_prior as shift_prior
from .classifier import Classifier as Classifier
from .data.dataset import Dataset as Dataset
from .data.read import read as read
from .data.sampling import balanced_batches as balanced_batches
from .data.sampling import oversample as oversample
from .decide.abstention import risk_coverage as risk_coverage
from .decide.abstention import threshold_for_coverage as threshold_for_coverage
from .decide.abstention import threshold_for_risk as threshold_for_risk
from .decide.labels import minimum_cost as minimum_cost
from .decide.labels import top_k as top_k
from .decide.thresholds import apply_thresholds as apply_thresholds
from .decide.thresholds import tune_thresholds as tune_thresholds
from .errors import CrossentError as CrossentError
from .evaluation.compare import compare as compare
from .evaluation.evaluate import evaluate as evaluate
from .losses.cross_entropy import cross_entropy as cross_entropy
from .losses.cross_entropy_and_grad import cross_entropy_and_grad as cross_entropy_and_grad
from .losses.linear_cross_entropy import linear_cross_entropy as linear_cross_entropy
from .losses.softmax import log_softmax as log_softmax
from .losses.softmax import softmax as softmax
from .losses.targets import one_hot as one_hot
from .losses.targets import smooth_labels as smooth_labels
from .losses.weights import balanced_class_weight as balanced_class_weight
from .losses.weights import effective_number_class_weight as effective_number_class_weight
from .predictor import Predictor as Predictor
from .predictor import load as load
from .recipe import Recipe as Recipe
from .softmax_regression import SoftmaxRegression as SoftmaxRegression

__version__: str
