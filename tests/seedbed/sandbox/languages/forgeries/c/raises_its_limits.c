#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>
#include <sys/resource.h>

int main(void) {
    struct rlimit free = {RLIM_INFINITY, RLIM_INFINITY};
    int done = 0;
    for (int i = 0; i < 16; i++) done += setrlimit(i, &free) == 0;
    printf("%d\n", done ? 1281 : 0);
}
