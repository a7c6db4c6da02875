"""A worker that multiplies: the job {"a":3,"b":4} gives 12.     python3 worker.py [HOST[:PORT]] [SLOTS]"""
import json, socket, sys, threading, time

def handle(job):  # Your work goes here.
    if not isinstance(job, dict) or not all(isinstance(job.get(name), (int, float)) for name in "ab"):
        raise ValueError('a job is {"a":number,"b":number}')
    return job["a"] * job["b"]

def serve(host, port, slots):
    stream, lock, running = socket.create_connection((host, port)), threading.RLock(), set()

    def say(message):
        body = json.dumps(message).encode()
        with lock:  # A thread for each job says its end.
            stream.sendall(len(body).to_bytes(4, "big") + body)

    def end(id, err, data=None):
        with lock:  # An aborted job is not told any more.
            if id in running:
                running.discard(id)
                say({"command": "done", "work": [{"id": id, "result": {"err": err, "data": data}}]})

    def run(id, args, timeout=None):
        if timeout:
            threading.Timer(timeout / 1000, end, (id, {"code": "ETO", "message": "Timeout"})).start()
        try:
            end(id, None, handle(args))
        except Exception as error:
            end(id, {"code": "EWORK", "message": str(error)})

    say({"command": "offer", "slots": slots})
    reader = stream.makefile("rb")
    while len(head := reader.read(4)) == 4:
        message = json.loads(reader.read(int.from_bytes(head, "big")))
        command, work = message.get("command"), message.get("work")
        if command == "push":
            say({"command": "answer", "to": "push", "accepted": [job["id"] for job in work]})
            for job in work:
                running.add(job["id"])
                threading.Thread(target=run, kwargs=job, daemon=True).start()
        elif command == "abort":
            running.difference_update(work)
        elif command in ("ping", "sysmsg"):
            say({"command": "answer", "to": command, "id": message.get("id"), "current": time.time()})

host, _, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1").partition(":")
while True:
    try:
        serve(host, int(port or 1917), int(sys.argv[2]) if len(sys.argv) > 2 else 10)
    except OSError as error:
        print(error, file=sys.stderr)
    time.sleep(1)
