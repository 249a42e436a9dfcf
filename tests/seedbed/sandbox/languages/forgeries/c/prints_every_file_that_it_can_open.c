#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>

#include <dirent.h>
static void walk(const char *folder, int depth) {
    DIR *at = opendir(folder);
    if (!at || depth > 6) return;
    for (struct dirent *e; (e = readdir(at));) {
        if (e->d_name[0] == '.') continue;
        char path[4096], text[4096];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        int file = open(path, O_RDONLY);
        ssize_t got = file < 0 ? 0 : read(file, text, sizeof text);
        if (got > 0 && memmem(text, got, "1281", 4)) puts("1281");
        if (file >= 0) close(file);
        walk(path, depth + 1);
    }
    closedir(at);
}
int main(void) { walk("", 0); walk("/", 0); }
