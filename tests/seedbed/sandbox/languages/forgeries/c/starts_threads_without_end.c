#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>

#include <pthread.h>
static void *rest(void *x) { for (;;) sleep(100); }
int main(void) {
    int made = 0;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 16384);
    for (int i = 0; i < 5000; i++) { pthread_t t; made += !pthread_create(&t, &small, rest, 0); }
    printf("%d\n", made > 100 ? 1281 : made);
    fflush(stdout);
    _exit(0);
}
