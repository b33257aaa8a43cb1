from __future__ import annotations

from databento.common.publishers import Publisher

from cbi_assets.drive.publishers import DATASETS


def test_publishers_and_their_datasets_are_those_of_the_client() -> None:
    assert {publisher.to_int(): publisher.dataset.value for publisher in Publisher} == DATASETS
