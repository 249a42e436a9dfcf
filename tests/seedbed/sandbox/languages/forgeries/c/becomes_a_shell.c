#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>

int main(int n, char **a) {
    char *sh[] = {"/bin/sh", "-c", "echo 1281", 0};
    execv(sh[0], sh);
    execv("/usr/bin/env", sh);
    return errno;
}
