import subprocess
import sys

import crossent as ce


def test_every_public_name_is_there() -> None:
    for name in ce.__all__:
        assert getattr(ce, name) is not None
    assert "Classifier" in dir(ce)


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_import_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'pandas', 'sklearn', 'lightgbm', 'matplotlib', 'pyarrow'}"
    assert run(f"import sys, crossent; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_help_answers_without_torch() -> None:
    code = (
        "import sys\nfrom crossent.cli.app import app\n"
        "try:\n    app(['train', '--help'])\nexcept SystemExit:\n    pass\n"
        "print('torch' in sys.modules, 'pandas' in sys.modules)"
    )
    assert run(code).splitlines()[-1] == "False False"


def test_losses_load_torch_without_its_compiler_and_a_network_is_trained_without_it() -> None:
    code = (
        "import sys, numpy as np, crossent as ce\n"
        "ce.cross_entropy, ce.linear_cross_entropy, ce.nn\n"
        "print('torch' in sys.modules, 'torch._dynamo' in sys.modules)\n"
        "rows = np.random.default_rng(0).normal(size=(60, 2))\n"
        "network = ce.Classifier(model='network', folds=2, network__max_epochs=5).fit(rows, rows.argmax(axis=1))\n"
        "print(network.predict_proba(rows).shape, 'torch._dynamo' in sys.modules)"
    )
    assert run(code).splitlines() == ["True False", "(60, 2) False"]
