#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>
#include <sched.h>

int main(void) { return unshare(CLONE_NEWUSER | CLONE_NEWNS); }
