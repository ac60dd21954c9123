/* linux: how much memory the process holds, and how much there is. */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "linux/linux.h"

/* The n-th number of a small file of the kernel's; 0: it cannot be read, or is a word ("max"). */
static uint64_t number_of(const char *path, int n)
{
    char text[256];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0) {
        (void)close(file);
    }
    if (got <= 0) {
        return 0;
    }
    text[got] = '\0';
    char *at = text;
    for (; n > 0; n--) {
        (void)strtoull(at, &at, 10);
    }
    return strtoull(at, NULL, 10);
}

static uint64_t sys_memory(struct td_sys *sys, bool trim)
{
    (void)sys;
    if (trim) {
        (void)malloc_trim(0); /* there may be nothing to give back */
    }
    return number_of("/proc/self/statm", 1) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t td_linux_memory_total(void)
{
    uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t ours = number_of("/sys/fs/cgroup/memory.max", 0);
    return ours > 0 && ours < all ? ours : all;
}

void td_linux_memory_fill(struct td_sys *sys)
{
    sys->memory = sys_memory;
}
