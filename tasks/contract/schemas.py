"""JSON Schemas of the contract, for pipelines that import nothing."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from .job import ExtractionJob
from .result import ExtractionResult, Failure

#: Published schemas by name.
SCHEMAS: dict[str, type[BaseModel]] = {
    "extraction-job.v1": ExtractionJob,
    "extraction-result.v1": ExtractionResult,
    "failure.v1": Failure,
}


def json_schema(name: str) -> dict[str, Any]:
    """One published schema, as JSON Schema 2020-12.

    Raises:
        KeyError: no schema has this name; `SCHEMAS` lists them.
    """
    model = SCHEMAS[name]
    mode: JsonSchemaMode = "validation" if model is ExtractionJob else "serialization"
    schema = model.model_json_schema(mode=mode)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"byom:{name}", **schema}
