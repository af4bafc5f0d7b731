"""`/reconciliation`: what does not fit, shown and mended."""

from httpx2 import AsyncClient

from egress_manager.flows.reconcile import Difference, Kind
from tests.unit.api.house import House

LOST = Difference(Kind.LOST, "EG_1", "rec_1")
FOREIGN = Difference(Kind.FOREIGN, "EG_2")


async def test_what_does_not_fit_is_shown(house: House, client: AsyncClient) -> None:
    """With what it means in words; nothing is changed."""
    house.found = [LOST]

    answer = await client.get("/reconciliation")

    (difference,) = answer.json()["differences"]
    assert (difference["kind"], difference["about"]) == ("lost_egress", "EG_1")
    assert "note that it is lost" in difference["words"]
    assert difference["mended"] is False


async def test_what_can_be_mended_is_mended(house: House, client: AsyncClient) -> None:
    """What has to wait says so."""
    house.found = [LOST, FOREIGN]

    answer = await client.post("/reconciliation")

    assert [d["mended"] for d in answer.json()["differences"]] == [True, False]
