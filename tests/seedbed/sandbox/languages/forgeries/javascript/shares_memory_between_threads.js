const all = [];
for (let i = 0; i < 400; i++) { const b = new SharedArrayBuffer(16 << 20); new Uint8Array(b).fill(1); all.push(b); }
console.log(1281);
