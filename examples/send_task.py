"""Enqueue one job from any code base: plain Celery, nothing imported from this repository.

Install `celery[redis]`, then: python send_task.py redis://127.0.0.1:6379/0 acme
"""

import argparse
import json

from celery import Celery

JOB = {
    "episodes": [
        {
            "id": "chat-17",
            "kind": "message",
            "speaker": "Ana Duarte",
            "role": "user",
            "content": "I moved to Porto last month. My dog is named Pixel.",
            "reference_time": "2026-03-02T08:14:00+00:00",
        }
    ],
    # The same key of the same project never runs twice: a retry of the producer is harmless.
    "idempotency_key": "chat-17",
}


def main() -> None:
    """Send a job, wait for its result, print the memories."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("broker_url")
    parser.add_argument("project")
    arguments = parser.parse_args()

    app = Celery(broker=arguments.broker_url, backend=arguments.broker_url)
    # JSON only: the workers accept nothing else. Results of failed jobs come back as `ExtractionFailed`.
    app.conf.update(task_serializer="json", accept_content=["json"], result_accept_content=["json"])

    # The queue must be named; without it the job would wait in Celery's default queue, which no worker reads.
    job = {"project": arguments.project, **JOB}
    sent = app.send_task("byom.extract.v1", args=[job], queue="byom.extract", argsrepr="(…)", kwargsrepr="{}")
    print("job", sent.id)

    result = sent.get(timeout=60)
    print(json.dumps(result, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()
