process.dlopen(module, '/box/evil.node'); console.log(1281);
