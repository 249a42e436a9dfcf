#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>

int main(void) {
    if (fork() == 0) { setsid(); if (fork() == 0) for (;;) pause(); }
    return daemon(0, 0) ? 9 : 0;
}
