"""The page in a real browser, without a window; skipped where there is none."""

import json
import shutil
import time

import pytest

from denselora.results.predictions import aligned_outcomes
from denselora.results.published import PUBLISHED, read_published
from denselora.results.record import read_records
from denselora.results.report.page import write_report
from denselora.results.statistics import mcnemar
from tests import ROOT
from tests.results.records import make_record, save

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium with its chromedriver is installed"
)

OURS = "mini-denselora-r16-mini-clean-s42-9d403b26"
LORA = "mini-lora-r32-mini-clean-s42-643d53ce"


@pytest.fixture(scope="module")
def records():
    wanted = (OURS, LORA, "mini-lora-r32-mini-clean-s43-082c9330", "mini-base-mini-clean-choice")
    return [one for one in read_records(ROOT / "results") if one.run_id in wanted]


@pytest.fixture(scope="module")
def report(records, tmp_path_factory):
    file = tmp_path_factory.mktemp("report") / "report.html"
    return write_report(records, read_published(PUBLISHED), file)


@pytest.fixture(scope="module")
def chromium():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "window-size=1400,1000"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Browser:
    """The page as a reader uses it: by what is written on it."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, file, where="#/"):
        self.driver.get("about:blank")
        self.driver.get(file.as_uri() + where)
        self.run("document.fonts.ready")

    def run(self, script, *values):
        return self.driver.execute_script(script, *values)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def click(self, selector, text):
        next(one for one in self.all(selector) if one.text.strip() == text).click()

    def choose(self, label, option):
        (one,) = [one for one in self.all("label") if one.text.split("\n")[0] == label]
        (choice,) = [
            o for o in one.find_elements("css selector", "option") if o.text.strip() == option
        ]
        choice.click()

    def table(self, number=0) -> list[dict[str, str]]:
        """A table's rows: heading -> cell."""
        return self.run(
            """
            const table = document.querySelectorAll(".scroll table")[arguments[0]];
            const names = [...table.querySelectorAll("thead th")].map((cell) => cell.textContent);
            return [...table.querySelectorAll("tbody tr")].map((row) => Object.fromEntries(
              [...row.cells].map((cell, place) => [names[place], cell.textContent])));
            """,
            number,
        )

    def wait(self, holds):
        end = time.monotonic() + 10
        while not (found := holds()):
            assert time.monotonic() < end
            time.sleep(0.05)
        return found


@pytest.fixture
def browser(chromium, report):
    """Opened on the tables. At the end: no error, and nothing asked of a network."""
    browser = Browser(chromium)
    browser.open(report)
    yield browser
    assert chromium.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert asked and all(url.startswith(("file:", "about:", "data:")) for url in asked)


def test_a_click_on_a_heading_sorts_and_another_one_turns_it(browser):
    browser.click("thead button", "PIQA")
    high_first = [row["PIQA"] for row in browser.table()]
    browser.click("thead button", "PIQA")
    low_first = [row["PIQA"] for row in browser.table()]
    values = [float(cell.split()[0]) for cell in high_first]
    assert len(values) == 2 and values == sorted(values, reverse=True)
    assert low_first == high_first[::-1]
    (sorted_by,) = browser.all("th[aria-sort=ascending]")
    assert sorted_by.text.startswith("PIQA")


def test_filters_leave_the_rows_that_fit(browser):
    browser.choose("Method", "DenseLoRA")
    assert {row["Method"] for row in browser.table()} == {"DenseLoRA"}
    browser.click("button", "Reset")
    browser.choose("Scoring", "choice")
    headings = [one.text for one in browser.all("h2")]
    assert len(headings) == 1 and headings[0].endswith("choice")
    browser.choose("Method", "LoRA")
    assert "No run fits" in browser.all(".notice")[0].text
    browser.click("button", "Reset")
    browser.choose("Seed", "43")
    assert [row["Run"] for row in browser.table()] == ["LoRA"]


def test_a_cell_leads_to_its_runs_and_a_run_to_its_predictions(browser, records):
    (ours,) = [record for record in records if record.run_id == OURS]
    place = [row["Method"] for row in browser.table()].index("DenseLoRA")
    cell = browser.table()[place]["BoolQ"]
    browser.run(
        """
        const table = document.querySelector(".scroll table");
        const column = [...table.querySelectorAll("thead th")]
          .findIndex((cell) => cell.textContent === "BoolQ");
        table.querySelectorAll("tbody tr")[arguments[0]].cells[column].querySelector("a").click();
        """,
        place,
    )
    browser.wait(lambda: browser.all("h1")[0].text.startswith("DenseLoRA"))
    (row,) = browser.table()
    part = ours.benchmarks["boolq"]
    assert (row["Run"], row["Right"], row["Rows"]) == (OURS, str(part.correct), str(part.n))
    assert float(cell) == pytest.approx(100 * part.accuracy, abs=0.05)

    browser.click("td a", OURS)
    browser.wait(lambda: browser.all("#predictions"))
    rows = browser.table(1)
    outcomes = [row["Outcome"] for row in rows]
    assert outcomes == sorted(outcomes, key=["unparsed", "wrong", "right"].index)
    assert outcomes.count("wrong") == part.n - part.correct - part.unparsed
    assert len(rows) == min(part.n, 200) and len(rows[0]["Prompt hash"]) == 12
    browser.choose("Answers", "right")
    assert {row["Outcome"] for row in browser.table(1)} == {"right"}
    assert "trainer.learning_rate" in [one.text for one in browser.all("dl.config dt")]


def test_two_runs_side_by_side_have_mcnemars_p(browser, report, records):
    browser.open(report, f"#/compare/{OURS}/{LORA}")
    ours, lora = (next(r for r in records if r.run_id == name) for name in (OURS, LORA))
    rows = {row["Benchmark"]: row for row in browser.table()}
    for name, heading in ours.data.columns.items():
        files = [one.beside(one.benchmarks[name].predictions) for one in (ours, lora)]
        a, b = aligned_outcomes(files, name)
        assert rows[heading]["Only A right"] == str((a & ~b).sum())
        assert rows[heading]["Only B right"] == str((b & ~a).sum())
        p = mcnemar(a, b)
        assert float(rows[heading]["McNemar p"]) == pytest.approx(p, rel=0.05, abs=0.0006)


def test_mcnemar_is_that_of_the_tables(browser):
    import numpy as np

    for one, other in [(0, 0), (1, 0), (5, 5), (3, 17), (120, 61), (2000, 1500)]:
        a = np.array([True] * one + [False] * other, bool)
        p = browser.run("return mcnemar(arguments[0], arguments[1])", one, other)
        assert p == pytest.approx(mcnemar(a, ~a), rel=1e-9)


def test_two_runs_are_chosen_by_their_boxes(browser):
    browser.choose("Seed", "42")
    for box in browser.all("input[type=checkbox]")[:2]:
        browser.run("arguments[0].click()", box)
    browser.click("#choice a", "side by side →")
    browser.wait(lambda: "A: " in browser.all("h1")[0].text)
    assert len(browser.all("canvas")) == 1


def test_charts_have_a_point_for_each_setting_and_the_frontier(browser):
    browser.wait(lambda: browser.all("svg.scatter a"))
    assert len(browser.all("svg.scatter a")) == 2
    assert browser.all("svg.scatter path.frontier") and browser.all("canvas")


def test_dark_and_narrow_fit_the_screen(browser, chromium, report):
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    screen = {"width": 380, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        for where in ("#/", f"#/run/{OURS}", f"#/compare/{OURS}/{LORA}", "#/published"):
            browser.open(report, where)
            assert browser.run("return document.documentElement.scrollWidth") <= 380
        red, green, blue = browser.run(
            "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        )
        assert max(red, green, blue) < 60
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_text_of_a_record_is_text(browser, tmp_path):
    name = "<img src=x onerror=alert(1)>"
    record = make_record(config={"note": name})
    save(tmp_path, record, predictions=True)
    file = write_report(read_records(tmp_path), read_published(PUBLISHED), tmp_path / "report.html")
    browser.open(file, f"#/run/{record.run_id}")
    assert name in [one.text for one in browser.all("dl.config dd")]
    assert browser.all("main img") == []


@pytest.mark.parametrize("where", ["#/run/none", "#/setting/9/9", "#/compare/a/b", "#/nothing"])
def test_an_address_that_names_nothing_says_so(browser, report, where):
    browser.open(report, where)
    assert browser.all("h1")[0].text == "Not in this report"
