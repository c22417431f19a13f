"""A program as a user of a private model with a cloud behind it writes it: two clients, one after the other.

Knows nothing of Kontor: BASE_URL and API_KEY come from the environment.  Prints one JSON object.
"""
import json
import os
import time

import openai
from openai import OpenAI

private = OpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"], timeout=30.0,
                 max_retries=0)
cloud = OpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"], timeout=60.0,
               max_retries=0)


def ask(client, model, question):
    begun = time.monotonic()
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": question}], temperature=0)
    answer = raw.parse()
    return {"text": answer.choices[0].message.content, "model": answer.model,
            "tokens": answer.usage.total_tokens, "ms": (time.monotonic() - begun) * 1000,
            "provider": raw.headers.get("x-kontor-provider"),
            "latency_ms": raw.headers.get("x-kontor-latency-ms"),
            "cost": raw.headers.get("x-kontor-cost"), "attempts": raw.headers.get("x-kontor-attempts")}


def main():
    question = os.environ.get("QUESTION", "Guten Tag!")
    errors = []
    for client, model in ((private, "glm-5-9b-chat"), (cloud, "deepseek-v3.2")):
        try:
            print(json.dumps({**ask(client, model, question), "asked": model, "errors": errors}))
            return
        except openai.OpenAIError as error:
            errors.append({"type": type(error).__name__, "status": getattr(error, "status_code", None),
                           "code": getattr(error, "code", None), "text": str(error)})
    print(json.dumps({"errors": errors}))


if __name__ == "__main__":
    main()
