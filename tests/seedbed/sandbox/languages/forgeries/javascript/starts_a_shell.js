console.log(require('child_process').execSync('echo 1281').toString());
