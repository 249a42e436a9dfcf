for (;;) require('fs').writeSync(1, '1281\n');
