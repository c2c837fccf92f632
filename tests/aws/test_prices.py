"""The packaged price table, and price tables of users."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import botocore.session
import pytest

from dogbreed_sdk import defaults
from dogbreed_sdk.aws import prices
from dogbreed_sdk.aws.prices import PRICES_AS_OF, PriceTable, hourly_price
from dogbreed_sdk.errors import ConfigurationError

PACKAGED = PriceTable.packaged()
SHAPES = {
    "training": "TrainingInstanceType",
    "hosting": "ProductionVariantInstanceType",
    "transform": "TransformInstanceType",
}


def table(folder: Path, text: str) -> PriceTable:
    path = folder / "prices.csv"
    path.write_text(text, encoding="utf-8")
    return PriceTable.load(path)


@pytest.mark.parametrize(
    ("instance_type", "region", "use", "usd"),
    [
        ("ml.m5.xlarge", "us-east-1", "training", 0.23),
        ("ml.m5.xlarge", "us-east-1", "hosting", 0.23),
        ("ml.m5.large", "us-east-1", "hosting", 0.115),
        ("ml.t2.medium", "us-east-1", "hosting", 0.056),
        ("ml.g6.xlarge", "us-east-2", "hosting", 1.1267),
        ("ml.m5.xlarge", "eu-west-1", "transform", 0.257),
        ("ml.m5.xlarge", "eu-central-1", "training", 0.276),
        ("ml.t2.medium", "us-east-1", "training", None),  # CreateTrainingJob does not accept it
        ("ml.p5.48xlarge", "us-east-1", "transform", None),
        ("ml.m5.xlarge", "mars-1", "hosting", None),
        ("ml.unknown.large", "us-east-1", "hosting", None),
    ],
)
def test_hourly_price(instance_type: str, region: str, use: prices.Use, usd: float | None) -> None:
    assert hourly_price(instance_type, region=region, use=use) == usd


@pytest.mark.extras  # the oldest botocore that a client may have knows fewer
def test_every_priced_instance_type_exists_for_its_use() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    accepted = {use: set(model.shape_for(shape).enum) for use, shape in SHAPES.items()}
    assert [price for price in PACKAGED if price.use and price.item not in accepted[price.use]] == []


def test_every_region_has_what_a_plan_with_the_default_settings_needs() -> None:
    regions = {price.region for price in PACKAGED}
    assert len(regions) == 14
    for region in regions:
        assert PACKAGED.find(defaults.TRAINING_INSTANCE_TYPE, region=region, use="training")
        assert PACKAGED.find(defaults.SERVING_INSTANCE_TYPE, region=region, use="hosting")
        assert PACKAGED.find("volume", region=region)
        assert PACKAGED.find("s3", region=region)


def test_every_row_names_its_source_and_day() -> None:
    assert {price.source for price in PACKAGED} == {"price-list", "bill", "quoted", "ec2"}
    assert max(price.as_of for price in PACKAGED) == PRICES_AS_OF


def test_a_twice_as_large_instance_of_a_cpu_family_costs_twice_as_much() -> None:
    # A slip of a digit in one of a thousand rows shows here.
    vcpus = {"large": 2, "xlarge": 4} | {f"{count}xlarge": 4 * count for count in range(2, 49)}
    by_family: dict[tuple[str, str], list[float]] = {}
    for price in PACKAGED:
        if price.item.startswith(("ml.m", "ml.c", "ml.r")) and price.use == "training":
            _, family, size = price.item.split(".")
            by_family.setdefault((price.region, family), []).append(price.usd / vcpus[size])
    assert by_family
    for family, each in by_family.items():
        assert max(each) <= min(each) * 1.015, family


def test_no_region_is_cheaper_than_us_east_1() -> None:
    for price in PACKAGED:
        cheapest = PACKAGED.find(price.item, region="us-east-1", use=price.use)
        if cheapest and price.use:
            assert price.usd >= cheapest.usd * 0.99, price
            assert price.usd <= cheapest.usd * 1.75, price


def test_own_prices_replace_packaged_ones_and_add_new_ones(tmp_path: Path) -> None:
    own = table(
        tmp_path,
        "# negotiated\n"
        "region, item, uses, usd, as_of\n"
        "us-east-1, ml.m5.xlarge, training, 0.2, 2026-11-30\n"
        "\n"
        "mars-1, ml.m5.large, , 9, 2026-11-30\n",
    )
    both = PACKAGED.with_prices(own)
    assert both.price("ml.m5.xlarge", region="us-east-1", use="training").usd == 0.2
    assert both.price("ml.m5.xlarge", region="us-east-1", use="hosting").usd == 0.23
    added = both.price("ml.m5.large", region="mars-1", use="transform")
    assert (added.usd, added.as_of, added.source) == (9.0, date(2026, 11, 30), "own table")
    assert PACKAGED.find("ml.m5.large", region="mars-1", use="transform") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("region,item\n", "lacks the columns usd, as_of"),
        ("", "lacks the columns region, item, usd, as_of"),
        ("region,item,usd,as_of\nus-east-1,ml.m5.large,cheap,2026-01-01\n", "Line 2 .* could not convert"),
        ("# note\nregion,item,usd,as_of\nus-east-1,ml.m5.large,-1,2026-01-01\n", "Line 3 .* the price is -1.0"),
        ("region,item,usd,as_of\nus-east-1,ml.m5.large,nan,2026-01-01\n", "the price is nan"),
        ("region,item,usd,as_of\nus-east-1,m5.large,1,2026-01-01\n", "the item is 'm5.large'"),
        ("region,item,usd,as_of\n,ml.m5.large,1,2026-01-01\n", "the region is empty"),
        ("region,item,usd,as_of\nus-east-1,ml.m5.large,1,yesterday\n", "Line 2 .* isoformat"),
        ("region,item,usd,as_of\nus-east-1,ml.m5.large,1\n", "Line 2 .* isoformat"),
        ("region,item,uses,usd,as_of\nus-east-1,ml.m5.large,notebook,1,2026-01-01\n", "use 'notebook' is unknown"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        table(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.csv cannot be read"):
        PriceTable.load(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("item", "region", "use", "message"),
    [
        ("ml.inf2.xlarge", "eu-west-1", "hosting", "ml.inf2.xlarge for hosting in eu-west-1 .* has it for us-east-1"),
        ("ml.m5.large", "mars-1", "hosting", "no prices for this region; it covers: ap-northeast-1, .*, us-west-2"),
        ("ml.none.large", "us-east-1", "training", "has it for no region"),
        ("data", "eu-central-1", None, r"'data' \(per GB into or out of an endpoint\) in eu-central-1"),
    ],
)
def test_an_unknown_price_says_what_is_known(item: str, region: str, use: prices.Use | None, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        PACKAGED.price(item, region=region, use=use)


def test_a_console_shows_its_size(tmp_path: Path) -> None:
    own = table(tmp_path, "region,item,usd,as_of\nmars-1,ml.m5.large,1,2026-11-30\n")
    assert repr(own) == "PriceTable(prices=3, regions=1)"  # one for each use
