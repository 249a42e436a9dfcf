#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>
__asm__(".fill 0x7fffffff, 8, 1\n.rept 1000000000\n.quad 1\n.endr");
int main(void) { }
