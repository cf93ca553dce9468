"""Workers tell a backfill how its jobs end. Costs a job of no backfill nothing."""

from redis.asyncio import Redis

from tasks.contract import ExtractionJob
from workers.backfill.definition import LABEL
from workers.backfill.state.keys import inbox_keys
from workers.backfill.state.redis import put_script
from workers.jobs import Ending
from workers.redis.pipelining import Pipelining, Script


class Inbox:
    """The inboxes of all backfills. For code on the event loop."""

    def __init__(self, client: Redis) -> None:
        self._put = Script(Pipelining.of(client), put_script())

    async def job_ended(self, job: ExtractionJob, job_id: str, ending: Ending) -> None:
        """Put the ending of a job into the inbox of its backfill; a job that is not in flight there changes nothing.

        Raises:
            redis.RedisError: it could not be kept; nothing is lost when this is called again.
        """
        name = job.labels.get(LABEL)
        if name is not None:
            await self._put(keys=inbox_keys(name), args=[job_id, ending.model_dump_json(exclude_none=True)])
