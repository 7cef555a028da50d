/* SPDX-License-Identifier: MIT */
/* Blocks that come and go: see churn.h. */
#include "churn.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "measure.h"

#define SIZE_DRAWS 4096
#define RING       1024

static hm_site all_sites[CHURN_SITES_MOST];
static uint16_t sizes[SIZE_DRAWS];

/* What the threads of a run share. */
typedef struct table {
    const churn *c;
    void **slots;
    void *ring[RING];
    uint64_t made __attribute__((aligned(64)));  /* atomic; of the ring */
    uint64_t taken __attribute__((aligned(64))); /* atomic */
    pthread_barrier_t start;
    churn_time times[2];
} table;

typedef struct worker {
    table *t;
    uint64_t number;
} worker;

static inline uint64_t draw(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 32;
}

/* No division: i is scattered over 32 bits, which are then scaled. */
hm_site *churn_site(uint64_t i, size_t sites)
{
    return &all_sites[(uint64_t)((uint32_t)i * 2654435769u) * sites >> 32];
}

size_t churn_size(uint64_t i)
{
    return sizes[i & (SIZE_DRAWS - 1)];
}

void churn_prepare(void)
{
    uint64_t seed = 1;
    if (sizes[0]) {
        return;
    }
    for (uint32_t i = 0; i < CHURN_SITES_MOST; i++) {
        all_sites[i] = (hm_site){"churn.c", "churn", i + 1, 0};
    }
    for (size_t i = 0; i < SIZE_DRAWS; i++) {
        unsigned least = 16;
        while (least < 512 && draw(&seed) & 1) {
            least *= 2;
        }
        const unsigned span = least == 512 ? 512 : least / 2;
        sizes[i] = (uint16_t)(least + draw(&seed) % (span + 1));
    }
}

__attribute__((noreturn)) static void refused(void)
{
    fprintf(stderr, "churn: an allocation was refused\n");
    exit(2);
}

static inline void *take(const churn *c, uint64_t i)
{
    void *block =
        hm_alloc_at(c->m, churn_size(i), HM_LEVEL_TASK, churn_site(i, c->sites));
    if (__builtin_expect(!block, 0)) {
        refused();
    }
    *(volatile uint64_t *)block = i;
    return block;
}

static inline void give(const churn *c, void *block, uint64_t i)
{
    hm_free_at(c->m, block, HM_SIZE_UNKNOWN, 0, churn_site(i, c->sites));
}

static void fill(const churn *c, void **slots, uint64_t salt)
{
    for (size_t i = 0; i < c->live; i++) {
        slots[i] = take(c, i + salt);
    }
}

static void empty(const churn *c, void **slots)
{
    for (size_t i = 0; i < c->live; i++) {
        give(c, slots[i], i);
    }
}

static void **slots_make(size_t count)
{
    void **slots = calloc(count, sizeof *slots);
    if (!slots) {
        refused();
    }
    churn_prepare();
    return slots;
}

__attribute__((noinline)) static void
own_loop(const churn *c, void **slots, uint64_t steps, uint64_t seed)
{
    for (uint64_t i = steps; i > 0; i--) {
        void **slot = &slots[draw(&seed) * c->live >> 32];
        give(c, *slot, i);
        *slot = take(c, i);
    }
}

__attribute__((noinline)) static void
exchange_loop(const churn *c, void **slots, uint64_t steps, uint64_t seed)
{
    for (uint64_t i = steps; i > 0; i--) {
        void **slot = &slots[draw(&seed) * c->live >> 32];
        void *block = take(c, i);
        give(c, __atomic_exchange_n(slot, block, __ATOMIC_ACQ_REL), i);
    }
}

static void produce(table *t)
{
    for (uint64_t i = 0; i < t->c->steps; i++) {
        while (i - __atomic_load_n(&t->taken, __ATOMIC_ACQUIRE) == RING) {
            sched_yield();
        }
        t->ring[i % RING] = take(t->c, i);
        __atomic_store_n(&t->made, i + 1, __ATOMIC_RELEASE);
    }
}

static void consume(table *t)
{
    for (uint64_t i = 0; i < t->c->steps; i++) {
        while (__atomic_load_n(&t->made, __ATOMIC_ACQUIRE) == i) {
            sched_yield();
        }
        give(t->c, t->ring[i % RING], i);
        __atomic_store_n(&t->taken, i + 1, __ATOMIC_RELEASE);
    }
}

static void begin(table *t, uint64_t number)
{
    pthread_barrier_wait(&t->start);
    t->times[number] = (churn_time){measure_wall(), measure_cpu()};
}

static void end(table *t, uint64_t number)
{
    churn_time *time = &t->times[number];
    time->wall = (measure_wall() - time->wall) / (double)t->c->steps;
    time->cpu = (measure_cpu() - time->cpu) / (double)t->c->steps;
}

static void *own_thread(void *context)
{
    worker *w = context;
    const churn *c = w->t->c;
    void **slots = w->t->slots + w->number * c->live;
    fill(c, slots, w->number);
    own_loop(c, slots, c->live + c->steps / 8, w->number + 1);
    begin(w->t, w->number);
    own_loop(c, slots, c->steps, w->number + 2);
    end(w->t, w->number);
    empty(c, slots);
    return NULL;
}

static void *exchange_thread(void *context)
{
    worker *w = context;
    const churn *c = w->t->c;
    if (w->number == 0) {
        fill(c, w->t->slots, 0);
    }
    begin(w->t, w->number);
    exchange_loop(c, w->t->slots, c->steps, w->number + 2);
    end(w->t, w->number);
    pthread_barrier_wait(&w->t->start);
    if (w->number == 0) {
        empty(c, w->t->slots);
    }
    return NULL;
}

static void *pipe_thread(void *context)
{
    worker *w = context;
    begin(w->t, w->number);
    if (w->number == 0) {
        produce(w->t);
    } else {
        consume(w->t);
    }
    end(w->t, w->number);
    return NULL;
}

static churn_time run_two(const churn *c, void *(*body)(void *))
{
    static table t;
    pthread_t other;
    t.c = c;
    t.slots = slots_make(2 * c->live);
    t.made = t.taken = 0;
    worker workers[2] = {{&t, 0}, {&t, 1}};
    measure_unpin();
    if (pthread_barrier_init(&t.start, NULL, 2) != 0 ||
        pthread_create(&other, NULL, body, &workers[1]) != 0) {
        refused();
    }
    body(&workers[0]);
    pthread_join(other, NULL);
    pthread_barrier_destroy(&t.start);
    measure_pin();
    free(t.slots);
    return (churn_time){
        t.times[0].wall > t.times[1].wall ? t.times[0].wall : t.times[1].wall,
        t.times[0].cpu > t.times[1].cpu ? t.times[0].cpu : t.times[1].cpu};
}

churn_time churn_two_own(const churn *c)
{
    return run_two(c, own_thread);
}

churn_time churn_two_exchange(const churn *c)
{
    return run_two(c, exchange_thread);
}

churn_time churn_two_pipe(const churn *c)
{
    return run_two(c, pipe_thread);
}

churn_time churn_alone(const churn *c)
{
    void **slots = slots_make(c->live);
    fill(c, slots, 0);
    own_loop(c, slots, c->live + c->steps / 8, 1);
    const churn_time before = {measure_wall(), measure_cpu()};
    own_loop(c, slots, c->steps, 2);
    const churn_time time = {(measure_wall() - before.wall) / (double)c->steps,
                             (measure_cpu() - before.cpu) / (double)c->steps};
    empty(c, slots);
    free(slots);
    return time;
}
