import crossent as ce


def test_bundled_file_has_its_licence_beside_it() -> None:
    path = ce.datasets.hpc_path()
    assert sum(1 for _ in path.open()) == 4332
    assert "Max Kuhn" in (path.parent / "LICENSE-hpc.txt").read_text()
