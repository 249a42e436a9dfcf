const { Worker } = require('worker_threads');
const all = [];
for (let i = 0; i < 500; i++) {
  const w = new Worker('setInterval(() => 0, 1e6)', { eval: true });
  w.on('error', () => 0);
  all.push(w);
}
let up = 0;
for (const w of all) w.on('online', () => { if (++up > 100) { console.log(1281); process.exit(0); } });
