// A worker that multiplies: the job {"a":3,"b":4} gives 12.     node worker.js [HOST[:PORT]] [SLOTS]
const net = require('node:net');
const [host, port = 1917] = (process.argv[2] || '127.0.0.1').split(':');

async function handle(job) { // Your work goes here.
  if (typeof job?.a !== 'number' || typeof job?.b !== 'number') throw new Error('a job is {"a":number,"b":number}');
  return job.a * job.b;
}

function connect() {
  const [socket, running] = [net.connect(port, host), new Set()];
  let bytes = Buffer.alloc(0);
  const say = (message) => {
    const frame = Buffer.from(`    ${JSON.stringify(message)}`);
    frame.writeUInt32BE(frame.length - 4);
    socket.write(frame);
  };
  const end = (id, err, data = null) => { // An aborted job is not told any more.
    if (running.delete(id)) say({ command: 'done', work: [{ id, result: { err, data } }] });
  };
  const run = ({ id, args, timeout }) => {
    running.add(id);
    if (timeout) setTimeout(end, timeout, id, { code: 'ETO', message: 'Timeout' });
    handle(args).then((data) => end(id, null, data), ({ message }) => end(id, { code: 'EWORK', message }));
  };
  const hear = ({ command, id, work, error }) => {
    if (command === 'push') {
      say({ command: 'answer', to: 'push', accepted: work.map((job) => job.id) });
      work.forEach(run);
    } else if (command === 'abort') work.forEach((job) => running.delete(job));
    else if (command === 'ping') say({ command: 'answer', to: 'ping', current: new Date() });
    else if (command === 'sysmsg') say({ command: 'answer', to: 'sysmsg', id, received: Date.now() });
    else if (error) console.error(`${error.code}: ${error.description}`);
  };
  socket.on('connect', () => say({ command: 'offer', slots: Number(process.argv[3] || 10) }));
  socket.on('data', (more) => {
    bytes = Buffer.concat([bytes, more]);
    for (let end; bytes.length >= 4 && bytes.length >= (end = 4 + bytes.readUInt32BE()); bytes = bytes.subarray(end)) {
      hear(JSON.parse(bytes.subarray(4, end)));
    }
  });
  socket.on('error', () => {}).on('close', () => running.clear() || setTimeout(connect, 1000));
}
connect();
