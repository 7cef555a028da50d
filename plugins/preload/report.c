/* SPDX-License-Identifier: MIT */
/* The end of the program: everything known goes as a snapshot to the hostmalloc command, which adds lines and functions and
 * writes what was asked for. The process itself reads no debug information. */
#include "report_internal.h"

#include <hostmalloc/debug.h>
#include <hostmalloc/module.h>

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "callers_internal.h"
#include "inject_internal.h"
#include "thread_internal.h"

static const hm__settings *settings;
static hm_host *host;
static unsigned malloc_is;
static pid_t process;     /* who reports; 0: nobody */
static uint32_t reported; /* atomic */

int __cxa_atexit(void (*handler)(void *), void *argument, void *object);
int __cxa_at_quick_exit(void (*handler)(void *), void *object);

static const char *spec(void)
{
    return settings->shown  ? settings->shown
           : settings->host ? settings->host
                            : "default";
}

static void put(int fd, const char *text)
{
    hm_core_table()->write(fd, text, strlen(text));
}

static void put_text(int fd, const char *name, const char *text)
{
    char quoted[2048];
    size_t at = (size_t)snprintf(quoted, sizeof quoted, ",\"%s\":\"", name);
    for (; *text && at < sizeof quoted - 8; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            quoted[at++] = '\\';
            quoted[at++] = (char)c;
        } else if (c < 0x20) {
            at += (size_t)snprintf(quoted + at, 7, "\\u%04x", c);
        } else {
            quoted[at++] = (char)c;
        }
    }
    quoted[at++] = '"';
    hm_core_table()->write(fd, quoted, at);
}

static void put_number(int fd, const char *name, uint64_t number)
{
    char text[64];
    snprintf(text, sizeof text, ",\"%s\":%llu", name, (unsigned long long)number);
    put(fd, text);
}

/* A host that records nothing still has a head and an end. 0: there is no room for them. */
static int write_figures(int fd)
{
    hm_debug *debug = hm_debug_of_host(host);
    if (debug) {
        return hm_debug_snapshot(debug, fd) == HM_OK;
    }
    put(fd, "{\"type\":\"snapshot\",\"schema\":1");
    put_text(fd, "version", hm_core_table()->version);
    put_number(fd, "pid", (uint64_t)process);
    put_text(fd, "program", program_invocation_short_name);
    put_text(fd, "spec", spec());
    put(fd, "}\n{\"type\":\"end\",\"lines\":1}\n");
    return 1;
}

static void write_bridge(int fd, const hm__injected *injected)
{
    const hm_site *first = NULL;
    hm_error err;
    memset(&err, 0, sizeof err);
    const hm_status status = injected->bridge->verify(&first, &err);
    put(fd, "{\"type\":\"bridge\"");
    put_text(fd, "name", injected->bridge->name);
    put_text(fd, "object", injected->path);
    put_text(fd, "status", hm_status_name(status));
    if (status != HM_OK) {
        put_text(fd, "what", err.what);
    }
    if (first) {
        put_text(fd, "file", first->file ? first->file : "?");
        put_number(fd, "line", first->line);
    }
    put(fd, "}\n");
}

static void write_run(int fd)
{
    hm__injected injected;
    put(fd, "{\"type\":\"run\"");
    put_text(fd, "spec", spec());
    put_number(fd, "records", hm_debug_of_host(host) != NULL);
    put_number(fd, "malloc", malloc_is);
    put_number(fd, "dropped", hm__callers_dropped());
    put(fd, "}\n");
    for (size_t i = 0; hm__preload_injected(i, &injected); i++) {
        write_bridge(fd, &injected);
    }
}

/* Waits for the command: the report stands before whatever comes after the program. 0: it could not be run. */
static int hand_over(int snapshot, int to, int errors)
{
    char name[4096 + 32];
    char *const arguments[] = {
        (char *)(uintptr_t)settings->command,
        (char *)(uintptr_t) "report",
        (char *)(uintptr_t) "--format",
        (char *)(uintptr_t)(settings->format ? settings->format : "text"),
        (char *)(uintptr_t) "-",
        NULL};
    char *const environment[] = {settings->report ? name : NULL, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t child;
    int status;
    snprintf(name, sizeof name, "HOSTMALLOC_RUN_OUTPUT=%s",
             settings->report ? settings->report : "");
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, snapshot, 0);
    posix_spawn_file_actions_adddup2(&files, to, 1);
    posix_spawn_file_actions_adddup2(&files, errors, 2);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    const int refused = posix_spawn(&child, settings->command, &files, &attributes,
                                    arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (refused) {
        return 0;
    }
    /* With SIGCHLD ignored there is no status to be had, and the wait ends all the same. */
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return 1;
}

static void write_report(void)
{
    const int to = hm__preload_output();
    if (to < 0) {
        return;
    }
    const int errors = hm__preload_errors() < 0 ? to : hm__preload_errors();
    const int snapshot = memfd_create("hostmalloc", MFD_CLOEXEC);
    const int is_whole = snapshot >= 0 && write_figures(snapshot);
    if (is_whole) {
        write_run(snapshot);
        lseek(snapshot, 0, SEEK_SET);
    }
    if (!is_whole || !hand_over(snapshot, to, errors)) {
        hm_error why;
        hm_error_set(&why, HM_E_OS, "run", "the report could not be written: %s %s",
                     is_whole ? settings->command : "the figures",
                     is_whole ? "did not start" : "found no room");
        put(errors, "hostmalloc: ");
        put(errors, why.what);
        put(errors, "\n");
    }
    if (snapshot >= 0) {
        close(snapshot);
    }
}

void hm__preload_report(void)
{
    sigset_t all, before;
    if (!settings || !settings->command || process != getpid() ||
        __atomic_exchange_n(&reported, 1, __ATOMIC_ACQ_REL)) {
        return;
    }
    const int kept = errno;
    hm__thread_collect();
    const unsigned char before_state = hm__thread_state;
    /* The program's handlers, of SIGCHLD for one, have had their time. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    hm__thread_state = HM__THREAD_INSIDE;
    write_report();
    hm__thread_state = before_state;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = kept;
}

void hm__preload_report_again(void)
{
    __atomic_store_n(&reported, 0, __ATOMIC_RELEASE);
}

static void at_exit(void *argument)
{
    (void)argument;
    hm__preload_report();
}

static void after_fork_child(void *context)
{
    (void)context;
    process = settings->follow ? getpid() : 0;
    if (!process) {
        hm__preload_output_forget();
    }
}

static hm_fork_hooks fork_hooks = {
    .size = sizeof(hm_fork_hooks), .rank = INT32_MAX - 1, .child = after_fork_child};

void hm__preload_report_start(const hm__settings *read,
                              hm_host *of_host,
                              unsigned whose_malloc)
{
    settings = read;
    host = of_host;
    malloc_is = whose_malloc;
    if (!settings->command) {
        return;
    }
    process = getpid();
    hm__preload_output_start(settings->report);
    hm_core_table()->at_fork(&fork_hooks);
    /* Of no object, so that it is called after every library's destructors. */
    __cxa_atexit(at_exit, NULL, NULL);
    __cxa_at_quick_exit(at_exit, NULL);
}
