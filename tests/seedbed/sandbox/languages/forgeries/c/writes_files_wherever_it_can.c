#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>
#include <sys/stat.h>

int main(void) {
    const char *at[] = {"/tmp/forged", "/forged", "/box/forged", "forged", "/dev/shm/forged",
                        "/box/program", "/dev/stdin", "/etc/forged"};
    int made = 0;
    for (int i = 0; i < 8; i++) {
        int fd = open(at[i], O_RDWR | O_CREAT, 0666);
        if (fd >= 0) { made++; (void)!write(fd, "1281", 4); }
        made += mkdir("made", 0777) == 0;
        made += symlink("/etc/passwd", "link") == 0;
        made += unlink(at[i]) == 0;
    }
    printf("%d\n", made ? 1281 : 0);
}
