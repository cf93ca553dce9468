"""What `config.labels` keeps free for the engine's tags is what the engine puts there."""

from config.labels import OWN_TAGS
from tests.unit.engine.conftest import Bench, make_job


async def test_every_tag_that_is_no_label_has_its_place_kept_free(bench: Bench) -> None:
    await bench.run(make_job(labels={"run": "nightly"}))

    (call,) = bench.model.calls
    assert call.tags.keys() - {"run", "team"} == set(OWN_TAGS)
