"""A client: each argument is a job, JSON text; prints one result a line, in that order.     python3 client.py HOST[:PORT] JOB..."""
import json, socket, sys, time

def ask(host, port, jobs, results):
    """Pushes what has no result yet, under the same rid each time, and hears until all have one."""
    stream, indexes = socket.create_connection((host, port)), {}

    def say(message):
        body = json.dumps(message).encode()
        stream.sendall(len(body).to_bytes(4, "big") + body)

    def push():
        say({"command": "push", "rid": "R1", "work": [jobs[index] for index in open()]})

    def open():
        return [index for index, result in enumerate(results) if result is None]

    push()
    reader = stream.makefile("rb")
    while open() and len(head := reader.read(4)) == 4:
        message = json.loads(reader.read(int.from_bytes(head, "big")))
        command, work, error = message.get("command"), message.get("work"), message.get("error")
        if command == "answer" and message["to"] == "push":
            if error and error.get("retryAfter"):
                time.sleep(error["retryAfter"] / 1000)
                push()
            elif error:
                sys.exit(f"{error['code']}: {error['description']}")
            else:
                indexes.update(zip(work, open()))
        elif command == "done":
            for job in work:
                results[indexes[job["id"]]] = job["result"]
        elif command in ("ping", "sysmsg"):
            say({"command": "answer", "to": command, "id": message.get("id"), "current": time.time()})

host, _, port = sys.argv[1].partition(":")
jobs = [json.loads(job) for job in sys.argv[2:]]
results = [None] * len(jobs)
while None in results:
    try:
        ask(host, int(port or 1917), jobs, results)
    except OSError:
        pass
    if None in results:
        time.sleep(1)
for result in results:
    error = result["err"]
    print(f"error {error['code']}: {error['message']}" if error else json.dumps(result["data"]))
sys.exit(any(result["err"] for result in results))
