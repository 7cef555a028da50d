/* SPDX-License-Identifier: MIT */
/* Signals as counters: all a handler may do is count, whoever wants to know looks when it is safe to act. */
#include "lock_internal.h"
#include "os.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define COUNTERS_MOST 16

static struct {
    int number; /* atomic: 0 until the entry stands */
    uint32_t *counter;
} counters[COUNTERS_MOST];
static hm_lock counters_lock;
static struct sigaction previous[NSIG]; /* what was there before, by number */

static void handle(int number, siginfo_t *details, void *context)
{
    const int kept = errno;
    for (size_t i = 0; i < COUNTERS_MOST; i++) {
        if (__atomic_load_n(&counters[i].number, __ATOMIC_ACQUIRE) == number) {
            __atomic_fetch_add(counters[i].counter, 1, __ATOMIC_RELAXED);
        }
    }
    const struct sigaction *before = &previous[number];
    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(number, details, context);
    } else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
        before->sa_handler(number);
    }
    errno = kept;
}

/* 0: no signal that can be caught. */
static int number_of(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } names[] = {{"HUP", SIGHUP},   {"INT", SIGINT},    {"QUIT", SIGQUIT},
                 {"USR1", SIGUSR1}, {"USR2", SIGUSR2},  {"TERM", SIGTERM},
                 {"CONT", SIGCONT}, {"WINCH", SIGWINCH}};
    const char *bare = strncmp(name, "SIG", 3) == 0 ? name + 3 : name;
    char *end;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(bare, names[i].name) == 0) {
            return names[i].number;
        }
    }
    const long number = strtol(name, &end, 10);
    return *name && !*end && number > 0 && number < NSIG ? (int)number : 0;
}

static int has_handler(int number)
{
    int has = 0;
    for (size_t i = 0; i < COUNTERS_MOST; i++) {
        has |= counters[i].number == number;
    }
    return has;
}

int hm__os_signal_count(const char *name, uint32_t *counter)
{
    const int number = number_of(name);
    int done = 0;
    size_t free_place = 0;
    if (!number) {
        return 0;
    }
    hm__lock(&counters_lock);
    while (free_place < COUNTERS_MOST && counters[free_place].number) {
        free_place++;
    }
    if (free_place < COUNTERS_MOST) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_sigaction = handle;
        action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
        /* First where to chain to, then the handler, last the counter: each is there before it is needed. */
        done = has_handler(number) || (sigaction(number, NULL, &previous[number]) == 0 &&
                                       sigaction(number, &action, NULL) == 0);
    }
    if (done) {
        counters[free_place].counter = counter;
        __atomic_store_n(&counters[free_place].number, number, __ATOMIC_RELEASE);
    }
    hm__unlock(&counters_lock);
    return done;
}
