require('net').connect(80, '127.0.0.1').on('connect', () => console.log(1281));
fetch('http://127.0.0.1/').then(() => console.log(1281));
