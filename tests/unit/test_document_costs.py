"""The arithmetic of docs/costs.md: every product, every sum, and the quantities that the templates set."""

import re
from decimal import ROUND_HALF_UP, Decimal

import pytest

from tests.documents import ROOT, document, rows

ASCII = str.maketrans({"\u00d7": "*", "\u2212": "-"})
PAGE = document("docs/costs.md")
TEXT = PAGE.text.translate(ASCII)
PRICES = PAGE.section("Unit prices and where they come from")
CALCULATION = re.compile(r"([\d., *+-]*\*[\d., *+-]*) = ([\d.,]+)")
CENT = Decimal("0.01")


def number(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


def value(expression: str) -> Decimal:
    """Products that are added and subtracted."""
    total = Decimal(0)
    for sign, product in re.findall(r"(^|[+-])\s*([^+-]+)", expression):
        factors = [number(each) for each in product.split("*")]
        result = Decimal(1)
        for each in factors:
            result *= each
        total += -result if sign == "-" else result
    return total


def calculations() -> list[tuple[str, str]]:
    return CALCULATION.findall(TEXT)


def unit_prices() -> set[Decimal]:
    return {number(row[1]) for row in rows(PRICES)}


@pytest.mark.parametrize(("expression", "result"), calculations())
def test_product(expression: str, result: str) -> None:
    """What stands behind the equals sign is what stands before it, to the cent."""
    assert value(expression).quantize(CENT, ROUND_HALF_UP) == number(result)


@pytest.mark.parametrize(("expression", "result"), calculations())
def test_price(expression: str, result: str) -> None:
    """The last factor of each product is a unit price of the second table."""
    last = [number(product.split("*")[-1]) for product in re.split("[+-]", expression)]
    assert set(last) - unit_prices() == set(), result


@pytest.mark.parametrize(("column", "headline"), [(1, "about {} for a trial"), (2, "About {} US dollars")])
def test_sum(column: int, headline: str) -> None:
    """The column's results add up to the last row, and the page begins with that."""
    *lines, last = [row for row in rows(TEXT) if len(row) == 3]
    results = [found[2] for row in lines if (found := CALCULATION.search(row[column]))]
    total = sum(map(number, results))
    assert last[column] == f"**{total}**"
    assert headline.format(round(total)) in PAGE.text
    assert f"about {round(total)}" in document("README.md").text


def test_sources() -> None:
    """Every unit price names a source that the page has an address for, and the region and date."""
    for unit, _, region, source, date in rows(PRICES):
        assert f"\n{source}: https://" in PAGE.text, unit
        assert region, unit
        assert re.fullmatch(r"\d{1,2} [A-Z][a-z]+ 20\d\d|none", date), unit


def test_quantities() -> None:
    """As many alert rules and private endpoints as the templates make."""
    rules = len(re.findall(r"loadTextContent\('\.\./alerts/", template("modules/alerts.bicep")))
    metrics = re.findall(r"var alertedMetrics = \[(.*?)\]", template("events.bicep"))[0].count(",") + 1
    endpoints = template("main.bicep").count("'modules/private-endpoint.bicep'")
    assert f"| {rules} * 1.50 + {metrics} * 0.10 = " in TEXT
    assert f"| {endpoints} * 730 * 0.01 + {endpoints} * 0.50 = " in TEXT


def template(name: str) -> str:
    return (ROOT / "infra" / name).read_text()
