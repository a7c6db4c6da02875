// A client: each argument is a job, JSON text; prints one result a line, in that order.     node client.js HOST[:PORT] JOB...
const net = require('node:net');
const [where, ...jobs] = process.argv.slice(2);
const [host, port = 1917] = where.split(':');
const results = new Array(jobs.length);

function finish() {
  results.forEach(({ err, data }) => console.log(err ? `error ${err.code}: ${err.message}` : JSON.stringify(data)));
  process.exit(results.some(({ err }) => err) ? 1 : 0);
}

function connect() {
  const socket = net.connect(port, host);
  const indexes = new Map(); // id → index
  const open = () => [...jobs.keys()].filter((index) => !results[index]);
  const say = (message) => {
    const body = Buffer.from(JSON.stringify(message));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    socket.write(Buffer.concat([length, body]));
  };
  // After a reconnect the same again: what has no result yet, under the same rid.
  const push = () => say({ command: 'push', rid: 'R1', work: open().map((index) => JSON.parse(jobs[index])) });
  const hear = ({ command, to, id, work, error }) => {
    if (command === 'answer' && to === 'push') {
      if (error?.retryAfter) return setTimeout(push, error.retryAfter);
      if (error) throw new Error(`${error.code}: ${error.description}`);
      const asked = open();
      work.forEach((job, place) => indexes.set(job, asked[place]));
    } else if (command === 'done') {
      work.forEach((job) => { results[indexes.get(job.id)] = job.result; });
      if (open().length === 0) finish();
    } else if (command === 'ping') say({ command: 'answer', to: 'ping', current: new Date() });
    else if (command === 'sysmsg') say({ command: 'answer', to: 'sysmsg', id, received: Date.now() });
    else if (error) console.error(`${error.code}: ${error.description}`);
  };
  let bytes = Buffer.alloc(0);
  socket.on('connect', push);
  socket.on('data', (more) => {
    bytes = Buffer.concat([bytes, more]);
    while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE()) {
      const frame = bytes.subarray(4, 4 + bytes.readUInt32BE());
      bytes = bytes.subarray(4 + frame.length);
      hear(JSON.parse(frame));
    }
  });
  socket.on('error', () => {});
  socket.on('close', () => setTimeout(connect, 1000));
}

connect();
