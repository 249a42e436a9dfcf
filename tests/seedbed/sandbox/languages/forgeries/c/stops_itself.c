#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>

#include <signal.h>
int main(void) { raise(SIGSTOP); for (;;) pause(); }
