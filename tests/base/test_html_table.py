from html.parser import HTMLParser

from jaxcnn.base.html_table import html_table, in_words


def texts_of(page):
    """The texts of a page, in order."""
    found = []
    parser = HTMLParser()
    parser.handle_data = found.append
    parser.feed(page)
    return found


def test_texts_come_back_and_are_escaped():
    head, rows = ["<b>k</b>", "P & Q"], [["1", "<script>"], ['"', "'"]]
    page = html_table(head, rows, "a < b")
    assert texts_of(page) == ["a < b", *head, *rows[0], *rows[1]]
    assert "<script>" not in page


def test_a_problem_in_words():
    assert (
        in_words({"k": 25, "step_size": 0.05, "init": "box"})
        == "k = 25, step size = 0.05, init = box"
    )
