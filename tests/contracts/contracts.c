/* SPDX-License-Identifier: MIT */
/* Runs the cases of one group, says how each went, and answers 0 when all held. */
#include "contracts.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 64
#define WORLDS_MAX  32

static jmp_buf out_of_case;
static const char *world_now;
static int failures;                   /* atomic: in the case under way */
static const char *absent[WORLDS_MAX]; /* why a world is not here */

static void failed(const char *file, int line)
{
    __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
    fprintf(stderr, "%s:%d: ", file, line);
    if (world_now) {
        fprintf(stderr, "(%s) ", world_now);
    }
}

int contracts_check(int holds, const char *file, int line, const char *text)
{
    if (!holds) {
        failed(file, line);
        fprintf(stderr, "not so: %s\n", text);
    }
    return holds;
}

int contracts_check_equal(uint64_t is,
                          uint64_t should,
                          const char *file,
                          int line,
                          const char *is_text,
                          const char *should_text)
{
    if (is == should) {
        return 1;
    }
    failed(file, line);
    fprintf(stderr, "%s is 0x%llx (%lld), expected %s, 0x%llx (%lld)\n", is_text,
            (unsigned long long)is, (long long)is, should_text,
            (unsigned long long)should, (long long)should);
    return 0;
}

void contracts_give_up(void)
{
    longjmp(out_of_case, 1);
}

typedef struct worker {
    void (*run)(void *context, int index);
    void *context;
    int index;
    pthread_t thread;
} worker;

static void *work(void *argument)
{
    worker *w = argument;
    w->run(w->context, w->index);
    return NULL;
}

void contracts_threads(int count, void (*run)(void *context, int index), void *context)
{
    worker workers[THREADS_MAX];
    int started = 0;
    while (started < count && started < THREADS_MAX) {
        worker *w = &workers[started];
        w->run = run;
        w->context = context;
        w->index = started;
        if (pthread_create(&w->thread, NULL, work, w) != 0) {
            break;
        }
        started++;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    CHECK_EQ(started, count);
}

uint32_t contracts_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Out of line, so that nothing of the caller's lives across the jump. */
static void run_guarded(const contract *c)
{
    if (setjmp(out_of_case) == 0) {
        c->run(c);
    }
}

/* 1 it held in every world there is, 0 not. */
static int run_case(const contracts_group *group, const contract *c)
{
    const size_t worlds = group->worlds ? group->world_count : 1;
    size_t seen = 0;
    printf("[ RUN      ] contracts_%03d [%s] %s\n", c->number, c->evidence, c->title);
    fflush(stdout);
    failures = 0;
    for (size_t i = 0; i < worlds; i++) {
        const char *why = NULL;
        world_now = group->worlds ? group->worlds[i] : NULL;
        if (group->enter && !group->enter(world_now, &why)) {
            if (!absent[i % WORLDS_MAX]) {
                absent[i % WORLDS_MAX] = why ? why : "no reason given";
            }
            continue;
        }
        seen++;
        run_guarded(c);
        if (group->leave) {
            group->leave();
        }
    }
    world_now = NULL;
    CHECK(seen > 0);
    printf("[%s] contracts_%03d\n", failures ? "  FAILED  " : "       OK ", c->number);
    fflush(stdout);
    return !failures;
}

static int wanted(const contract *c, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strtol(argv[i], NULL, 10) == c->number) {
            return 1;
        }
    }
    return argc == 1;
}

static int usage(const contracts_group *group)
{
    fprintf(stderr, "usage: test_contracts_%s [NUMBER...]\n", group->name);
    return 2;
}

int contracts_main(int argc, char **argv, const contracts_group *group)
{
    int ran = 0;
    int held = 0;
    for (int i = 1; i < argc; i++) {
        if (!argv[i][0] || strspn(argv[i], "0123456789") != strlen(argv[i])) {
            return usage(group);
        }
    }
    for (size_t t = 0; t < group->table_count; t++) {
        for (size_t i = 0; i < group->counts[t]; i++) {
            const contract *c = &group->tables[t][i];
            if (wanted(c, argc, argv)) {
                ran++;
                held += run_case(group, c);
            }
        }
    }
    for (size_t i = 0; i < group->world_count && i < WORLDS_MAX; i++) {
        if (absent[i]) {
            printf("[  ABSENT  ] %s: %s\n", group->worlds[i], absent[i]);
        }
    }
    printf("[==========] contracts of %s: %d of %d hold\n", group->name, held, ran);
    if (!ran) {
        return usage(group);
    }
    return held == ran ? 0 : 1;
}
