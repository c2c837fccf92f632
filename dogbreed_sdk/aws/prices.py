"""What AWS charges: the packaged price table, a user's own table, and both together."""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from dogbreed_sdk.errors import ConfigurationError

Use = Literal["training", "hosting", "transform"]
USES: Final[tuple[Use, ...]] = ("training", "hosting", "transform")

# Items that are not instance types, with what their price is for.
UNITS: Final[Mapping[str, str]] = {
    "volume": "GB-month of the disk of a job or an endpoint",
    "s3": "GB-month in S3 Standard",
    "serverless": "second and GB of memory of serverless inference",
    "data": "GB into or out of an endpoint",
}

# What the sources of the packaged table are, for people; its head says more.
SOURCES: Final[Mapping[str, str]] = {
    "price-list": "AWS's price list",
    "bill": "an AWS bill of 2023",
    "quoted": "articles that quote AWS's pricing page",
    "ec2": "EC2's prices with SageMaker's usual markup",
    "pricing-api": "AWS's Pricing API, now",
}

# The day on which the newest prices of the packaged table were read. Each price has its own date: `Price.as_of`.
PRICES_AS_OF: Final = date(2026, 9, 28)

_COLUMNS = ("region", "item", "usd", "as_of")
_OPTIONAL_COLUMNS = ("uses", "source")
_PACKAGED = "price_table.csv"


@dataclass(frozen=True, kw_only=True)
class Price:
    """One price, with where it is from.

    Attributes:
        region: For example ``us-east-1``.
        item: An instance type (priced per hour), or one of `UNITS`.
        use: What an instance does; None for other items.
        usd: US dollars per unit.
        as_of: The day on which the source read it.
        source: Where it is from; the head of the packaged table explains its words.
    """

    region: str
    item: str
    use: Use | None
    usd: float
    as_of: date
    source: str


class PriceTable:
    """Prices by region, item and use.

    Args:
        prices: Of two prices for the same thing, the later one counts.

    Examples:
        >>> prices = PriceTable.packaged()
        >>> prices.price("ml.m5.xlarge", region="us-east-1", use="training").usd
        0.23
        >>> prices.find("ml.m5.xlarge", region="mars-1") is None
        True
    """

    def __init__(self, prices: Iterable[Price]) -> None:
        self._prices = {(price.region, price.item, price.use): price for price in prices}

    @classmethod
    def packaged(cls) -> PriceTable:
        """The table in this package. It is as old as `PRICES_AS_OF` says, and covers the common regions and types."""
        return _packaged()

    @classmethod
    def load(cls, path: str | Path) -> PriceTable:
        """A table from a CSV file.

        Args:
            path: A CSV file with the columns region, item, usd and as_of, and optionally uses and source. ``item``
                is an instance type (per hour) or one of `UNITS`; ``as_of`` is a day such as 2026-11-30; ``uses`` is
                one or more of training, hosting and transform, or empty for all. Lines that start with # are ignored.

        Raises:
            ConfigurationError: The file cannot be read; the message names the line.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"The price table {path} cannot be read: {error}") from error
        return cls(_parse(text, name=str(path)))

    def __repr__(self) -> str:
        regions = len({price.region for price in self})
        return f"PriceTable(prices={len(self)}, regions={regions})"

    def __iter__(self) -> Iterator[Price]:
        return iter(self._prices.values())

    def __len__(self) -> int:
        return len(self._prices)

    def with_prices(self, others: Iterable[Price]) -> PriceTable:
        """A table in which other prices replace those for the same things.

        Args:
            others: The prices that take precedence.
        """
        return PriceTable([*self, *others])

    def find(self, item: str, *, region: str, use: Use | None = None) -> Price | None:
        """The price of an item, or None if the table does not have it.

        Args:
            item: An instance type, whose price is per hour, or one of `UNITS`.
            region: For example ``us-east-1``.
            use: training, hosting or transform, whose prices may differ; None for items without a use.
        """
        return self._prices.get((region, item, use))

    def price(self, item: str, *, region: str, use: Use | None = None) -> Price:
        """The price of an item.

        Args:
            item: An instance type, whose price is per hour, or one of `UNITS`.
            region: For example ``us-east-1``.
            use: training, hosting or transform, whose prices may differ; None for items without a use.

        Raises:
            ConfigurationError: The table does not have it; the message says what it has instead.
        """
        found = self.find(item, region=region, use=use)
        if found is None:
            raise ConfigurationError(self._lacks(item, region, use))
        return found

    def _lacks(self, item: str, region: str, use: Use | None) -> str:
        wanted = f"{item} for {use}" if use else f"{item!r} (per {UNITS.get(item, 'hour')})"
        known = sorted({price.region for price in self if price.item == item and price.use == use})
        if not any(price.region == region for price in self):
            regions = ", ".join(sorted({price.region for price in self})) or "none"
            instead = f"The table has no prices for this region; it covers: {regions}."
        elif known:
            instead = f"The table has it for {', '.join(known)}."
        else:
            instead = "The table has it for no region."
        return (
            f"The price of {wanted} in {region} is not in the price table. {instead} "
            "Add it in a price file of your own (prices=…), or ask AWS (live_prices=True)."
        )


def hourly_price(instance_type: str, *, region: str, use: Use) -> float | None:
    """The on-demand price of an instance from the packaged table, in USD per hour; None if it is not there.

    >>> hourly_price("ml.m5.large", region="us-east-1", use="hosting")
    0.115
    """
    found = PriceTable.packaged().find(instance_type, region=region, use=use)
    return found.usd if found else None


def total_hourly_price(instances: Iterable[tuple[str, int]], *, region: str, use: Use) -> float | None:
    """The on-demand price of instances, given as (type, number), in USD per hour; None if one of them is not known.

    >>> total_hourly_price([("ml.m5.large", 2)], region="us-east-1", use="hosting")
    0.23
    """
    prices = [(hourly_price(kind, region=region, use=use), count) for kind, count in instances]
    known = [price * count for price, count in prices if price is not None]
    return math.fsum(known) if len(known) == len(prices) else None


@functools.cache
def _packaged() -> PriceTable:
    text = resources.files(__package__).joinpath(_PACKAGED).read_text(encoding="utf-8")
    return PriceTable(_parse(text, name=_PACKAGED))


def _parse(text: str, *, name: str) -> Iterator[Price]:
    numbered = [
        (number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    rows = csv.DictReader((line for _, line in numbered), skipinitialspace=True)
    lacking = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
    if lacking:
        raise ConfigurationError(
            f"The price table {name} lacks the columns {', '.join(lacking)}; its first line must name the columns "
            f"{', '.join(_COLUMNS)}, and optionally {', '.join(_OPTIONAL_COLUMNS)}."
        )
    # A quoted line break would shift the numbers; no value of a price table has a reason to hold one.
    for (number, _), row in zip(numbered[1:], rows, strict=False):
        try:
            yield from _prices(row)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"Line {number} of the price table {name} is wrong: {error}") from error


def _prices(row: Mapping[str, str | None]) -> Iterator[Price]:
    region, item = (row["region"] or "").strip(), (row["item"] or "").strip()
    if not region:
        raise ValueError("the region is empty")
    if not (item.startswith("ml.") or item in UNITS):
        raise ValueError(f"the item is {item!r}; use an instance type such as ml.m5.xlarge, or {', '.join(UNITS)}")
    usd = float(row["usd"] or "")
    if not 0 <= usd < float("inf"):
        raise ValueError(f"the price is {usd}; give US dollars")
    as_of = date.fromisoformat((row["as_of"] or "").strip())
    source = (row.get("source") or "").strip() or "own table"
    for use in _uses(item, row.get("uses") or ""):
        yield Price(region=region, item=item, use=use, usd=usd, as_of=as_of, source=source)


def _uses(item: str, given: str) -> tuple[Use | None, ...]:
    if item in UNITS:
        return (None,)
    named = given.split()
    unknown = [name for name in named if name not in USES]
    if unknown:
        raise ValueError(f"the use {unknown[0]!r} is unknown; valid uses: {', '.join(USES)}")
    return tuple(use for use in USES if not named or use in named)
