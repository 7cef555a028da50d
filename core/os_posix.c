/* SPDX-License-Identifier: MIT */
/* The part of os.h that every POSIX system answers alike. */
#include "os.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <hostmalloc/host.h>

_Static_assert(sizeof(pthread_t) <= sizeof(uintptr_t), "a thread handle is one word");
_Static_assert(sizeof(pthread_key_t) <= sizeof(uint32_t), "a key is 32 bits");

static int protection_bits(uint32_t protection)
{
    switch (protection & 0xff) {
    case HM_PAGE_READONLY:
        return PROT_READ;
    case HM_PAGE_READWRITE:
        return PROT_READ | PROT_WRITE;
    case HM_PAGE_EXECUTE:
        return PROT_EXEC;
    case HM_PAGE_EXECUTE_READ:
        return PROT_READ | PROT_EXEC;
    case HM_PAGE_EXECUTE_READWRITE:
        return PROT_READ | PROT_WRITE | PROT_EXEC;
    default:
        return PROT_NONE;
    }
}

static void *map(void *address, size_t bytes, int protection, int flags)
{
    void *pages =
        mmap(address, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

void *hm__os_pages_map(size_t bytes)
{
    void *pages = map(NULL, bytes, PROT_READ | PROT_WRITE, MAP_NORESERVE);
#ifdef MADV_NOHUGEPAGE
    if (pages && bytes >= ((size_t)1 << 20)) {
        /* Tables are large and sparse: a huge page for one touched word is 2 MiB of nothing. */
        const int kept = errno;
        madvise(pages, bytes, MADV_NOHUGEPAGE);
        errno = kept;
    }
#endif
    return pages;
}

void hm__os_pages_unmap(void *pages, size_t bytes)
{
    const int kept = errno;
    munmap(pages, bytes);
    errno = kept;
}

void *hm__os_pages_reserve(void *address, size_t bytes)
{
    void *pages = map(address, bytes, PROT_NONE, MAP_NORESERVE);
    if (pages && address && pages != address) {
        /* The address is only a hint to older kernels and other systems: somebody is there. */
        hm__os_pages_unmap(pages, bytes);
        errno = EEXIST;
        return NULL;
    }
    return pages;
}

int hm__os_pages_commit(void *pages, size_t bytes, uint32_t protection)
{
    return mprotect(pages, bytes, protection_bits(protection)) == 0;
}

int hm__os_pages_decommit(void *pages, size_t bytes)
{
    /* A fresh mapping in its place drops contents and storage in one step. */
    return map(pages, bytes, PROT_NONE, MAP_NORESERVE | MAP_FIXED) == pages;
}

int hm__os_pages_protect(void *pages, size_t bytes, uint32_t protection)
{
    return mprotect(pages, bytes, protection_bits(protection)) == 0;
}

int hm__os_pages_reset(void *pages, size_t bytes)
{
    return madvise(pages, bytes, MADV_DONTNEED) == 0;
}

uint64_t hm__os_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A write past the limit of sizes, or to a pipe that nobody reads, raises a signal that ends the process: what we write for ourselves
   must not. The system raises it in the thread that writes. */
typedef struct write_signals {
    sigset_t ours;
    sigset_t blocked; /* as it was */
    sigset_t pending; /* likewise */
} write_signals;

static void signals_hold(write_signals *s)
{
    sigemptyset(&s->ours);
    sigaddset(&s->ours, SIGPIPE);
    sigaddset(&s->ours, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &s->ours, &s->blocked);
    sigpending(&s->pending);
}

static void signals_drop(const write_signals *s, int error)
{
    const int number = error == EPIPE ? SIGPIPE : SIGXFSZ;
    sigset_t now, one;
    sigemptyset(&one);
    sigaddset(&one, number);
    if ((error == EPIPE || error == EFBIG) && !sigismember(&s->pending, number) &&
        sigpending(&now) == 0 && sigismember(&now, number)) {
        int taken;
        sigwait(&one, &taken);
    }
    pthread_sigmask(SIG_SETMASK, &s->blocked, NULL);
}

int hm__os_write(int fd, const char *text, size_t bytes)
{
    const int kept = errno;
    int error = 0;
    write_signals signals;
    signals_hold(&signals);
    while (bytes > 0 && !error) {
        const ssize_t written = write(fd, text, bytes);
        if (written > 0) {
            text += written;
            bytes -= (size_t)written;
        } else if (written == 0) {
            error = EIO;
        } else if (errno == EAGAIN) {
            hm__os_sleep_ns(1000000);
        } else if (errno != EINTR) {
            /* A full disk or a closed descriptor: the report is lost, the program is not. */
            error = errno;
        }
    }
    signals_drop(&signals, error);
    errno = kept;
    return error;
}

int hm__os_error(void)
{
    return errno;
}

void hm__os_abort(void)
{
    abort();
}

void hm__os_sleep_ns(uint64_t ns)
{
    struct timespec wait = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    while (nanosleep(&wait, &wait) != 0 && errno == EINTR) {
    }
}

int hm__os_key_create(uint32_t *key, void (*at_exit)(void *))
{
    pthread_key_t made;
    if (pthread_key_create(&made, at_exit) != 0) {
        return 0;
    }
    *key = (uint32_t)made;
    return 1;
}

void *hm__os_key_get(uint32_t key)
{
    return pthread_getspecific((pthread_key_t)key);
}

int hm__os_key_set(uint32_t key, void *value)
{
    return pthread_setspecific((pthread_key_t)key, value) == 0;
}

/* What a new thread is told; on the starter's stack until the thread has read it. */
typedef struct thread_start {
    void (*run)(void *);
    void *context;
    uint32_t taken;
} thread_start;

static void *thread_main(void *argument)
{
    thread_start *start = argument;
    void (*const run)(void *) = start->run;
    void *const context = start->context;
    __atomic_store_n(&start->taken, 1, __ATOMIC_RELEASE);
    hm__os_wake(&start->taken);
    run(context);
    return NULL;
}

int hm__os_thread_start(void (*run)(void *), void *context, uintptr_t *handle)
{
    thread_start start = {run, context, 0};
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int refused = pthread_create(&thread, NULL, thread_main, &start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (refused) {
        errno = refused;
        return 0;
    }
    while (__atomic_load_n(&start.taken, __ATOMIC_ACQUIRE) == 0) {
        hm__os_wait(&start.taken, 0);
    }
    *handle = (uintptr_t)thread;
    return 1;
}

void hm__os_thread_join(uintptr_t handle)
{
    pthread_join((pthread_t)handle, NULL);
}

int hm__os_fork_run(int *outcome)
{
    const pid_t copy = fork();
    if (copy <= 0) {
        return copy == 0 ? 1 : -1;
    }
    int status = 0;
    while (waitpid(copy, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1; /* somebody else waits for every child of this process */
        }
    }
    *outcome = WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
    return 0;
}

void hm__os_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    pthread_atfork(prepare, parent, child);
}

long hm__os_read_file(const char *path, char *text, size_t size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    size_t filled = 0;
    ssize_t got = 1;
    while (filled + 1 < size && got) {
        got = read(fd, text + filled, size - 1 - filled);
        if (got > 0) {
            filled += (size_t)got;
        } else if (got < 0 && errno != EINTR) {
            break; /* a folder, for one */
        }
    }
    close(fd);
    text[filled] = '\0';
    return got < 0 ? -1 : (long)filled;
}

void hm__os_list_folder(const char *folder,
                        int (*visit)(void *context, const char *name),
                        void *context)
{
    DIR *open_folder = opendir(folder);
    if (!open_folder) {
        return;
    }
    for (const struct dirent *entry; (entry = readdir(open_folder)) != NULL;) {
        if (visit(context, entry->d_name)) {
            break;
        }
    }
    closedir(open_folder);
}

int hm__os_is_mapped(const void *address)
{
    const int kept = errno;
    const size_t page = hm__os()->page_size;
    const int known = msync((void *)((uintptr_t)address & ~(uintptr_t)(page - 1)), page,
                            MS_ASYNC) == 0 ||
                      errno != ENOMEM;
    errno = kept;
    return known;
}

int hm__os_file_exists(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 && S_ISREG(found.st_mode);
}

int hm__os_file_create(const char *path, int append)
{
    /* Always at the end: several may have the same file open, a host's report and that of the program's end. */
    const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND | (append ? 0 : O_TRUNC);
    const int fd = open(path, flags, 0644);
    if (fd < 0 || fd > 2) {
        return fd;
    }
    /* A process without standard streams: what others print to them is not for this file. */
    const int higher = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    hm__os_file_close(fd);
    return higher;
}

void hm__os_file_close(int fd)
{
    const int kept = errno;
    close(fd);
    errno = kept;
}

/* Another process may have the file of that name mapped, and cut to nothing it would be a fault there: so the name goes to a new
   file, and the old one stays with who has it. Not where that cannot be: links, and folders one may not write. */
static int open_fresh(const char *path)
{
    struct stat found;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    for (int tries = 0; fd < 0 && errno == EEXIST && tries < 100; tries++) {
        if (lstat(path, &found) == 0 &&
            (!S_ISREG(found.st_mode) || access(path, W_OK) != 0 || unlink(path) != 0)) {
            break;
        }
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    }
    return fd < 0 ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : fd;
}

void *hm__os_file_map(const char *path, size_t bytes)
{
    const int fd = open_fresh(path);
    if (fd < 0) {
        return NULL;
    }
    void *pages = MAP_FAILED;
    struct rlimit most;
    /* Storage is taken now: a disk that fills up later would be a fault inside a running program. Past the limit of the process
       there would be a signal, not an answer. */
    const int fits = getrlimit(RLIMIT_FSIZE, &most) != 0 || bytes <= most.rlim_cur;
    const int refused = fits ? posix_fallocate(fd, 0, (off_t)bytes) : EFBIG;
    if (refused) {
        errno = refused;
    } else {
        pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    hm__os_file_close(fd);
    return pages == MAP_FAILED ? NULL : pages;
}

uint32_t hm__os_process_id(void)
{
    return (uint32_t)getpid();
}

int hm__os_object_path(const void *inside, char *path, size_t size)
{
    Dl_info info;
    if (!dladdr(inside, &info) || !info.dli_fname || !info.dli_fname[0]) {
        return 0;
    }
    char resolved[4096];
    const char *name = realpath(info.dli_fname, resolved);
    const size_t length = name ? strlen(name) : 0;
    if (length == 0 || length >= size) {
        return 0;
    }
    memcpy(path, name, length + 1);
    return 1;
}

void *hm__os_module_symbol(void *module, const char *name)
{
    return dlsym(module, name);
}

void *hm__os_module_open(const char *path, char *why, size_t why_size)
{
    /* Never RTLD_GLOBAL or RTLD_DEEPBIND: a module's allocator must not become the program's, nor split
       malloc from free. Never unmapped: blocks, thread exits and sites outlive a close. */
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!module) {
        const char *text = dlerror();
        snprintf(why, why_size, "%s", text ? text : "the loader gave no reason");
    }
    return module;
}
