#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>
#include <sys/mman.h>

int main(void) {
    int kinds[] = {MAP_SHARED | MAP_ANONYMOUS, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE};
    size_t got = 0, step = 16 << 20;
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 200; i++) {
            char *p = mmap(0, step, PROT_READ | PROT_WRITE, kinds[k], -1, 0);
            if (p != MAP_FAILED) { memset(p, 1, step); got += step; }
        }
    printf("%s\n", got > (600u << 20) ? "1281" : "bounded");
}
