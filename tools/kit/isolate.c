/* SPDX-License-Identifier: MIT */
/* Processes and threads, as POSIX has them: the only file of the kit that knows. */
#include "kit.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static kit_page *shared_page(void)
{
    static kit_page *page;
    if (!page) {
        void *pages = mmap(NULL, sizeof(kit_page), PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        page = pages == MAP_FAILED ? NULL : pages;
    }
    return page;
}

/* What a host reports, leaks above all, is for its user; here it would hide what the kit has to say. */
static void silence(void)
{
    const int nothing = open("/dev/null", O_RDWR);
    if (nothing >= 0) {
        dup2(nothing, STDOUT_FILENO);
        dup2(nothing, STDERR_FILENO);
        close(nothing);
    }
}

/* 1: the child has ended, and *status says how. */
static int wait_for(pid_t child, const sigset_t *signals, unsigned limit_ms, int *status)
{
    struct timespec now, end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += limit_ms / 1000;
    end.tv_nsec += (long)(limit_ms % 1000) * 1000000;
    for (;;) {
        const pid_t ended = waitpid(child, status, WNOHANG);
        if (ended == child) {
            return 1;
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        const int64_t left =
            (int64_t)(end.tv_sec - now.tv_sec) * 1000000000 + end.tv_nsec - now.tv_nsec;
        if (left <= 0) {
            return 0;
        }
        const struct timespec pause = {(time_t)(left / 1000000000),
                                       (long)(left % 1000000000)};
        sigtimedwait(signals, NULL, &pause);
    }
}

static int judge(int ended, int status, unsigned limit_ms, char *end, size_t end_size)
{
    if (!ended) {
        snprintf(end, end_size, "it did not end within %u ms", limit_ms);
    } else if (WIFSIGNALED(status)) {
        snprintf(end, end_size, "it was ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    } else {
        snprintf(end, end_size, "it left the process with exit code %d",
                 WEXITSTATUS(status));
    }
    return ended && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int kit_isolate(void (*body)(void *context, kit_page *page),
                void *context,
                int verbose,
                unsigned limit_ms,
                const kit_page **page,
                char *end,
                size_t end_size)
{
    sigset_t child_ends, before;
    int status = 0;
    kit_page *shared = shared_page();
    if (!shared) {
        perror("hostmalloc: check");
        exit(1);
    }
    memset(shared, 0, sizeof *shared);
    *page = shared;
    fflush(NULL); /* or both processes would write what is still held back */
    sigemptyset(&child_ends);
    sigaddset(&child_ends, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_ends, &before);
    const pid_t child = fork();
    if (child < 0) {
        perror("hostmalloc: check");
        exit(1);
    }
    if (child == 0) {
        setpgid(0, 0);
        sigprocmask(SIG_SETMASK, &before, NULL);
        if (!verbose) {
            silence();
        }
        body(context, shared);
        kit_end_process();
    }
    setpgid(child, child);
    const int ended = wait_for(child, &child_ends, limit_ms, &status);
    kill(-child, SIGKILL); /* and what it may have left behind */
    if (!ended) {
        waitpid(child, &status, 0);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return judge(ended, status, limit_ms, end, end_size) &&
           __atomic_load_n(&shared->state, __ATOMIC_ACQUIRE) == KIT_PAGE_DECIDED;
}

/* Without exit handlers: they are not what is checked. */
void kit_end_process(void)
{
    _exit(0);
}

void kit_yield(void)
{
    sched_yield();
}

/* What runs on a thread. */
typedef struct errand {
    pthread_t thread;
    void (*run)(void *context);
    void *context;
} errand;

#define ERRANDS_MAX 16
static errand errands[ERRANDS_MAX];
static size_t errand_count;

static void *errand_run(void *argument)
{
    const errand *e = argument;
    e->run(e->context);
    return NULL;
}

/* Clauses start and join their threads in turn, so places are taken and given back like a stack's. */
void kit_thread_start(kit *k, size_t *thread, void (*run)(void *context), void *context)
{
    KIT_EXPECT(k, errand_count < ERRANDS_MAX, "room for one more thread",
               "%zu are running", errand_count);
    *thread = errand_count++;
    errand *e = &errands[*thread];
    e->run = run;
    e->context = context;
    const int refused = pthread_create(&e->thread, NULL, errand_run, e);
    KIT_EXPECT(k, refused == 0, "a thread from the system", "error %d", refused);
}

void kit_thread_join(size_t thread)
{
    pthread_join(errands[thread].thread, NULL);
    errand_count--;
}

size_t kit_thread_count(void)
{
    char text[4096];
    size_t count = 0;
    if (hm_core_table()->file_read("/proc/self/status", text, sizeof text) > 0) {
        const char *line = strstr(text, "\nThreads:");
        count = line ? strtoul(line + strlen("\nThreads:"), NULL, 10) : 0;
    }
    return count;
}

size_t kit_resident_bytes(void)
{
    char text[256];
    char *after = NULL;
    if (hm_core_table()->file_read("/proc/self/statm", text, sizeof text) <= 0) {
        return 0;
    }
    strtoul(text, &after, 10);
    return strtoul(after, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

size_t kit_malloc_bytes(void)
{
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* Into a file without a name: a pipe would be full at some point. */
int kit_capture_begin(void)
{
    FILE *file = tmpfile();
    if (!file) {
        return -1;
    }
    const int capture = dup(fileno(file));
    fclose(file);
    fflush(NULL);
    if (capture >= 0) {
        dup2(capture, STDOUT_FILENO);
        dup2(capture, STDERR_FILENO);
    }
    return capture;
}

size_t kit_capture_end(int capture)
{
    fflush(NULL);
    const off_t written = lseek(capture, 0, SEEK_END);
    close(capture);
    silence();
    return written > 0 ? (size_t)written : 0;
}
