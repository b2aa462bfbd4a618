"""The exchange's named price grids (``price_level_structure``): the bands behind each name.

A client keys on the bands, never on the name; the name is what market metadata carries beside them.
"""

from dora_bot.models import PriceGrid, PriceRange

LINEAR_CENT = "linear_cent"
DECI_CENT = "deci_cent"
TAPERED_DECI_CENT = "tapered_deci_cent"

GRIDS: dict[str, PriceGrid] = {
    LINEAR_CENT: PriceGrid.linear(100),
    DECI_CENT: PriceGrid.linear(10),
    TAPERED_DECI_CENT: PriceGrid(
        (PriceRange(0, 1_000, 10), PriceRange(1_000, 9_000, 100), PriceRange(9_000, 10_000, 10))
    ),
}
