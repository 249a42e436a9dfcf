#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>

int deep(volatile char *p) { volatile char here[4096]; here[0] = *p; return deep(here) + here[1]; }
int main(void) { char c = 0; return deep(&c); }
