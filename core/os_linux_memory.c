/* SPDX-License-Identifier: MIT */
/* How much memory Linux leaves this process: the limits of its cgroup (version 2) and of every one above, then
 * the machine's own figures. Nothing is assumed to be there or to be well formed: a container may show any part
 * of /sys, and older kernels have no pressure files. */
#include "os.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES 8192
#define PATH_BYTES 1024

static const char *root; /* atomic; kept by the caller of hm__os_memory_root */

void hm__os_memory_root(const char *folder)
{
    __atomic_store_n(&root, folder, __ATOMIC_RELEASE);
}

/* root, folder and name in one path; 0 when it is too long. */
static int join(char path[PATH_BYTES], const char *folder, const char *name)
{
    const char *below = __atomic_load_n(&root, __ATOMIC_ACQUIRE);
    const char *const parts[] = {below ? below : "", folder, name};
    size_t filled = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const size_t length = strlen(parts[i]);
        if (length >= PATH_BYTES - filled) {
            return 0;
        }
        memcpy(path + filled, parts[i], length + 1);
        filled += length;
    }
    return 1;
}

/* All files are read into one buffer of the caller's: this may run on a small stack. */
static int read_text(const char *folder, const char *name, char *text)
{
    char path[PATH_BYTES];
    return join(path, folder, name) && hm__os_read_file(path, text, TEXT_BYTES) > 0;
}

/* A number that ends with the text, a space or a line; anything else, "max" for one, is none. */
static int parse_number(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    const char *c = text;
    for (; *c >= '0' && *c <= '9'; c++) {
        const uint64_t digit = (uint64_t)(*c - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return 0;
        }
        value = value * 10 + digit;
    }
    if (c == text || (*c && *c != '\n' && *c != ' ')) {
        return 0;
    }
    *out = value;
    return 1;
}

/* What follows a key at the start of a line, blanks skipped; NULL when no line has it. */
static const char *after_key(const char *text, const char *key)
{
    const size_t length = strlen(key);
    while (text && strncmp(text, key, length) != 0) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return text ? text + length + strspn(text + length, " ") : NULL;
}

static int field(const char *text, const char *key, uint64_t *out)
{
    const char *value = after_key(text, key);
    return value && parse_number(value, out);
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* "some avg10=1.23 ..." into 123; 0 when the file is not there or not like that. */
static int read_stall(const char *folder, const char *name, char *text, uint32_t *stalled)
{
    const char *value =
        read_text(folder, name, text) ? after_key(text, "some avg10=") : NULL;
    uint32_t share = 0;
    if (!value || *value < '0' || *value > '9') {
        return 0;
    }
    for (; *value >= '0' && *value <= '9' && share <= 100; value++) {
        share = share * 10 + (uint32_t)(*value - '0');
    }
    share *= 100;
    if (value[0] == '.' && value[1] >= '0' && value[1] <= '9') {
        share += (uint32_t)(value[1] - '0') * 10;
        share += value[2] >= '0' && value[2] <= '9' ? (uint32_t)(value[2] - '0') : 0;
    }
    *stalled = share <= 10000 ? share : 10000;
    return 1;
}

static int read_number(const char *folder, const char *name, char *text, uint64_t *out)
{
    return read_text(folder, name, text) && parse_number(text, out);
}

/* One cgroup: memory.high counts as a limit too, since beyond it the process is slowed to a crawl. Pages of files
   that were not used lately are the kernel's to take, so they count as available, as in MemAvailable. */
static void read_group(const char *folder, char *text, hm__os_memory *memory)
{
    uint64_t limit = UINT64_MAX;
    uint64_t bound = 0;
    uint64_t used = 0;
    uint64_t reclaimable = 0;
    if (read_number(folder, "/memory.max", text, &bound)) {
        limit = bound;
    }
    if (read_number(folder, "/memory.high", text, &bound)) {
        limit = less(limit, bound);
    }
    if (limit == UINT64_MAX || !read_number(folder, "/memory.current", text, &used)) {
        return;
    }
    if (read_text(folder, "/memory.stat", text)) {
        field(text, "inactive_file ", &reclaimable);
    }
    used -= less(used, reclaimable);
    memory->limit = less(memory->limit, limit);
    memory->available = less(memory->available, limit - less(limit, used));
}

/* This process's cgroup and those above it. The path is the one the cgroup namespace shows; where a container
   shows only its own part of the tree the lower folders are missing and the topmost one is the container's.
   1 when one of them says how long its processes waited for memory. */
static int read_groups(char *text, hm__os_memory *memory)
{
    const char *group =
        read_text("/proc/self/cgroup", "", text) ? after_key(text, "0::") : NULL;
    if (!group || group[0] != '/') {
        return 0;
    }
    char path[PATH_BYTES];
    char folder[PATH_BYTES];
    const char *mount =
        join(path, "/sys/fs/cgroup", "/cgroup.controllers") && hm__os_file_exists(path)
            ? "/sys/fs/cgroup"
            : "/sys/fs/cgroup/unified";
    const size_t top = strlen(mount);
    size_t length = strcspn(group, "\n");
    /* "/../x" is outside of what this namespace may see: only the top is left. */
    if (length >= PATH_BYTES - top || strncmp(group, "/..", 3) == 0) {
        length = 0;
    }
    memcpy(folder, mount, top);
    memcpy(folder + top, group, length);
    length += top;
    int stall_known = 0;
    for (;;) {
        while (length > top && folder[length - 1] == '/') {
            length--;
        }
        folder[length] = '\0';
        read_group(folder, text, memory);
        stall_known =
            stall_known || read_stall(folder, "/memory.pressure", text, &memory->stalled);
        if (length == top) {
            return stall_known;
        }
        while (folder[length - 1] != '/') {
            length--;
        }
    }
}

static void read_machine(char *text, hm__os_memory *memory)
{
    uint64_t total = 0;
    uint64_t available = 0;
    if (read_text("/proc/meminfo", "", text) && field(text, "MemTotal:", &total) &&
        field(text, "MemAvailable:", &available) && total <= UINT64_MAX / 1024 &&
        available <= total) {
        memory->limit = less(memory->limit, total * 1024);
        memory->available = less(memory->available, available * 1024);
    }
}

int hm__os_memory_status(hm__os_memory *out)
{
    char text[TEXT_BYTES];
    hm__os_memory memory = {UINT64_MAX, UINT64_MAX, 0};
    if (!read_groups(text, &memory)) {
        read_stall("/proc/pressure/memory", "", text, &memory.stalled);
    }
    read_machine(text, &memory);
    if (memory.limit == UINT64_MAX) {
        return 0;
    }
    memory.available = less(memory.available, memory.limit);
    *out = memory;
    return 1;
}

size_t hm__os_block_size(const void *block)
{
    /* It only reads, though its declaration is older than const. */
    return malloc_usable_size((void *)(uintptr_t)block);
}

void *hm__os_block_aligned(size_t alignment, size_t bytes)
{
    void *block = NULL;
    return posix_memalign(&block, alignment, bytes) == 0 ? block : NULL;
}

void hm__os_blocks_trim(void)
{
#ifdef __GLIBC__
    const int kept = errno;
    malloc_trim(0);
    errno = kept;
#endif
}
