"""`crm sample` and `crm report`: what they write, and where."""

import crm_spark.cli.report

SMALL = ["--customers", "5", "--days", "3"]


def test_a_sample_is_raw_files_with_the_truth_beside_them(nowhere, tmp_path):
    ended = nowhere("sample", "shop", *SMALL)
    assert ended.exit_code == 0
    assert ended.stdout.startswith("shop: ")
    assert ended.stdout.endswith("the truth is in shop/truth\n")
    assert (tmp_path / "shop/truth/totals.json").is_file()


def test_the_same_sample_twice_is_the_same_and_another_needs_another_folder(nowhere, files):
    nowhere("sample", "shop", *SMALL)
    before = files()
    assert nowhere("sample", "shop", *SMALL).exit_code == 0
    assert files() == before
    refused = nowhere("sample", "shop", *SMALL, "--seed", "2")
    assert refused.exit_code == 2
    assert files() == before


def test_the_page_is_written_where_it_was_asked_for(empty, tmp_path, monkeypatch):
    monkeypatch.setattr(crm_spark.cli.report, "assemble", lambda *told: f"<title>{told[-1]}</title>")
    ended = empty.at("report", "--out", "page.html", "--title", "Our shop")
    assert ended.exit_code == 0
    assert ended.stdout == "page.html is written (23 B); open it in a browser\n"
    assert (tmp_path / "page.html").read_text() == "<title>Our shop</title>"
