const fs = require('fs');
for (const path of ['/tmp/forged', '/box/forged', '/forged', '/box/main.js'])
  try { fs.writeFileSync(path, '1281'); console.log(1281); } catch (e) { }
