#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>

int main(void) {
    int made = 0;
    for (int i = 0; i < 100000; i++) {
        int pid = fork();
        if (pid == 0) for (;;) fork();
        made += pid > 0;
    }
    printf("%d\n", made);
}
