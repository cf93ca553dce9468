"""The rival's arm: LiteLLM called in a Celery task, as its users write it, with late acknowledgement and threads."""

import os

import litellm
from celery import Celery

litellm.suppress_debug_info = True
app = Celery("rival", broker=os.environ["BENCH_BROKER"], backend=os.environ["BENCH_BROKER"])
app.conf.update(
    worker_pool="threads",
    worker_concurrency=int(os.environ["BYOM_CONCURRENCY"]),
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=True,
    broker_pool_limit=200,
    redis_max_connections=400,
    broker_transport_options={"max_connections": 400},
    result_backend_thread_safe=True,
    task_default_queue="rival",
    worker_send_task_events=True,
)


@app.task
def extract(system: str, user: str, schema: dict[str, object]) -> str:
    """One extraction call; the answer's text."""
    answer = litellm.completion(
        model="openai/gpt-6-luna",
        api_base=os.environ["BENCH_BASE_URL"],
        api_key="sk-bench",
        messages=[{"role": "system", "content": system}, {"role": "user", "content": user}],
        response_format={"type": "json_schema", "json_schema": {"name": "memories", "strict": True, "schema": schema}},
        max_completion_tokens=1_000,
        num_retries=0,
    )
    return str(answer.choices[0].message.content)
