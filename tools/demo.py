"""The second half of tools/demo.sh: start the service, ask a question, show how to repeat it."""
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
KONTOR = ROOT / "build" / "kontor"
LOG = ROOT / "build" / "demo.log"
HOST = "127.0.0.1"
FIRST_PORT = 8000
PORTS_TRIED = 100
START_LIMIT_S = 60
ANSWER_LIMIT_S = 120
ANSWER_TOKENS_MAX = 256
QUESTION = "What is Kontor?"


def fail(text):
    sys.exit(f"make demo: {text}")


def free_port():
    """8000, or the first free port above it."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        if port != FIRST_PORT:
            print(f"Port {FIRST_PORT} is taken; using {port}.")
        return port
    return fail(f"no free port from {FIRST_PORT} to {FIRST_PORT + PORTS_TRIED - 1}")


def get(port, path):
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def wait_healthy(server, port):
    begin = time.monotonic()
    while time.monotonic() - begin < START_LIMIT_S:
        if server.poll() is not None:
            fail(f"the service ended with status {server.returncode}:\n{LOG.read_text()[-2000:]}")
        try:
            if get(port, "/health")[0] == 200:
                return time.monotonic() - begin
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.05)
    return fail(f"the service is not healthy after {START_LIMIT_S} s; see {LOG}")


def request_body(model):
    return {"model": model, "messages": [{"role": "user", "content": QUESTION}], "stream": True}


def ask(port, model):
    """Print the answer as it arrives."""
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_LIMIT_S)
    body = {**request_body(model), "max_tokens": ANSWER_TOKENS_MAX}
    connection.request("POST", "/v1/chat/completions", json.dumps(body),
                       {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        fail(f"the question was answered with {response.status}: {response.read().decode()}")
    n_pieces = 0
    for line in response:
        data = line.decode("utf-8").strip().removeprefix("data:").strip()
        if not data or data == "[DONE]":
            continue
        for choice in json.loads(data).get("choices", []):
            text = choice.get("delta", {}).get("content")
            if text:
                n_pieces += 1
                print(text, end="", flush=True)
    connection.close()
    print("\n")
    if n_pieces == 0:
        fail("the answer was empty")


def show_how(port, model):
    url = f"http://{HOST}:{port}"
    body = json.dumps(request_body(model))
    print(f"""Ask again with curl:

    curl -N {url}/v1/chat/completions -H 'Content-Type: application/json' \\
      -d '{body}'

or with the openai package for Python:

    from openai import OpenAI
    client = OpenAI(base_url="{url}/v1", api_key="none")
    answer = client.chat.completions.create(
        model="{model}", messages=[{{"role": "user", "content": "{QUESTION}"}}])
    print(answer.choices[0].message.content)

or in the terminal:      build/kontor chat --url {url}
or in the browser:       {url}/

Next: serve your own GLM checkpoint with  build/kontor serve /path/to/checkpoint
      look into a checkpoint folder with  build/kontor inspect /path/to/checkpoint
      all options                         build/kontor serve --help
      read README.md, then ARCHITECTURE.md
""", flush=True)


def stop(server):
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def terminate(*_):
    raise KeyboardInterrupt


def main():
    signal.signal(signal.SIGTERM, terminate)
    port = free_port()
    with open(LOG, "wb") as log:
        server = subprocess.Popen([str(KONTOR), "serve", "--host", HOST, "--port", str(port)],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  start_new_session=True)  # Ctrl-C reaches us first
    try:
        seconds = wait_healthy(server, port)
        model = json.loads(get(port, "/v1/models")[1])["data"][0]["id"]
        print(f"Serving the built-in demonstration model \"{model}\" on http://{HOST}:{port}"
              f" (up after {seconds:.1f} s, log in build/demo.log).\n")
        print(f"> {QUESTION}")
        ask(port, model)
        show_how(port, model)
        if os.environ.get("ONCE") != "1":
            print("Serving until Ctrl-C.", flush=True)
            server.wait()
            fail(f"the service ended with status {server.returncode}; see {LOG}")
    except KeyboardInterrupt:
        print("\nStopping.")
    finally:
        stop(server)


if __name__ == "__main__":
    main()
