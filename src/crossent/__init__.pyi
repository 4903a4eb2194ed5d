# The table of contents: every public name and its home. The package reads it, and imports a name when it is first used.
from . import datasets as datasets
from . import kernels as kernels
from . import nn as nn
from .calibration.calibrate import calibrate as calibrate
from .classifier import Classifier as Classifier
from .data.dataset import Dataset as Dataset
from .data.read import read as read
from .errors import CrossentError as CrossentError
from .losses.cross_entropy import cross_entropy as cross_entropy
from .losses.cross_entropy_and_grad import cross_entropy_and_grad as cross_entropy_and_grad
from .losses.linear_cross_entropy import linear_cross_entropy as linear_cross_entropy
from .losses.softmax import log_softmax as log_softmax
from .losses.softmax import softmax as softmax
from .losses.targets import one_hot as one_hot
from .losses.targets import smooth_labels as smooth_labels
from .predictor import Predictor as Predictor
from .predictor import load as load
from .recipe import Recipe as Recipe
from .softmax_regression import SoftmaxRegression as SoftmaxRegression

__version__: str
