const all = [];
for (let i = 0; i < 400; i++) all.push(Buffer.alloc(16 << 20, 1));
console.log(1281);
