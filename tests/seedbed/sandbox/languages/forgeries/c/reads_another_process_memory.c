#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>
#include <sys/uio.h>

int main(void) {
    char text[64];
    struct iovec here = {text, 64}, there = {(void *)0x400000, 64};
    return process_vm_readv(1, &here, 1, &there, 1, 0) < 0;
}
