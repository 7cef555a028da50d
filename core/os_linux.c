/* SPDX-License-Identifier: MIT */
/* The part of os.h that is Linux's own. */
#include "os.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

const hm__os_info *hm__os(void)
{
    static hm__os_info info = {.granularity = 4096,
                               .address_limit = (uintptr_t)1 << 47,
                               .has_overcommit = 1,
                               .has_aligned_blocks = 1,
                               .host_file = "hm_host_%s.so",
                               .layer_file = "hm_layer_%s.so",
                               .path_list_separator = ':'};
    /* Every thread that finds 0 stores the same value. */
    if (__atomic_load_n(&info.page_size, __ATOMIC_RELAXED) == 0) {
        const size_t page = (size_t)sysconf(_SC_PAGESIZE);
        __atomic_store_n(&info.granularity, page, __ATOMIC_RELAXED);
        __atomic_store_n(&info.page_size, page, __ATOMIC_RELAXED);
    }
    return &info;
}

size_t hm__os_random(void *bytes, size_t count)
{
    const ssize_t got = getrandom(bytes, count, GRND_NONBLOCK);
    return got > 0 ? (size_t)got : 0;
}

void hm__os_wait(uint32_t *word, uint32_t value)
{
    const int kept = errno; /* free takes locks and leaves errno alone */
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
    errno = kept;
}

void hm__os_wait_for(uint32_t *word, uint32_t value, uint64_t ns)
{
    const int kept = errno;
    const struct timespec wait = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &wait, NULL, 0);
    errno = kept;
}

void hm__os_wake(uint32_t *word)
{
    const int kept = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = kept;
}

const char *hm__os_program(void)
{
    return program_invocation_short_name;
}

const char *hm__os_getenv(const char *name)
{
    return secure_getenv(name);
}

int hm__os_stack_bounds(uintptr_t *low, uintptr_t *high)
{
    pthread_attr_t attributes;
    void *base;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) {
        return 0;
    }
    const int known = pthread_attr_getstack(&attributes, &base, &size) == 0;
    pthread_attr_destroy(&attributes);
    if (known) {
        *low = (uintptr_t)base;
        *high = (uintptr_t)base + size;
    }
    return known;
}

static int membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) == 0;
}

/* The first use in a process is refused until it is registered. */
int hm__os_barrier_others(void)
{
    const int kept = errno;
    const int done = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) ||
                     (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) &&
                      membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
    errno = kept;
    return done;
}
