from crossent.explain.ngrams import Evidence
from crossent.report.assemble import class_ngrams
from crossent.report.content import ClassNgrams


def test_ngrams_of_a_class_leave_out_parts_of_those_before() -> None:
    def evidence(label: str, *ngrams: str, is_piece: bool) -> list[Evidence]:
        return [Evidence(label, "note", ngram, is_piece, 1.0) for ngram in ngrams]

    found = (
        *evidence("a", "oil", "crude oil", is_piece=False),
        *evidence("a", "oil", " oil ", "il", " crud", "rude ", is_piece=True),
        *evidence("b", "tea", is_piece=False),
    )
    assert class_ngrams(found) == (
        ClassNgrams("a", ("oil", "crude oil"), ("oil", "·crud", "rude·")),
        ClassNgrams("b", ("tea",), ()),
    )
