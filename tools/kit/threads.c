/* SPDX-License-Identifier: MIT */
/* Threads and fork. Those who ask for HM_MALLOC_THREADSAFE may do anything anywhere; the others serialise. */
#include "kit.h"

#define WORKERS 4
#define SLOTS   64
#define STEPS   4000

/* Blocks that any worker may take, and free: slots[i] is exchanged whole. */
typedef struct parcel {
    size_t size;
    unsigned seed;
} parcel;

typedef struct shop {
    kit *k;
    parcel *slots[SLOTS]; /* atomic */
    unsigned workers;     /* atomic */
    unsigned stop;        /* atomic */
} shop;

static void threadsafe_only(kit *k)
{
    if (!(k->kind->flags & HM_MALLOC_THREADSAFE)) {
        kit_pass_over(k, "not asked of a malloc without HM_MALLOC_THREADSAFE");
    }
}

static void expect_whole(kit *k, const parcel *p)
{
    KIT_EXPECT(k, p->size >= sizeof *p && p->size < 4096,
               "blocks of their own for every thread", "the first bytes of one changed");
    const size_t bytes = p->size - sizeof *p;
    KIT_EXPECT(k, kit_marked(p + 1, bytes, p->seed) == bytes,
               "blocks of their own for every thread", "changed bytes in one of %zu",
               p->size);
}

static void put_parcel(kit *k, parcel *p)
{
    if (p) {
        expect_whole(k, p);
        if (p->seed % 2) {
            const hm_status status = hm_free_sized(k->m, p, p->size);
            KIT_EXPECT(k, status == HM_OK, "HM_OK from a free on another thread", "%s",
                       hm_status_name(status));
        } else {
            kit_free(k, k->m, p);
        }
    }
}

static void work(void *context)
{
    shop *s = context;
    unsigned draw = __atomic_add_fetch(&s->workers, 1, __ATOMIC_RELAXED) * 7919;
    for (unsigned step = 0; step < STEPS; step++) {
        draw = draw * 1103515245u + 12345u;
        const size_t size = sizeof(parcel) + (draw >> 8) % 300;
        parcel *p = kit_alloc(s->k, s->k->m, size);
        p->size = size;
        p->seed = draw;
        kit_mark(p + 1, size - sizeof *p, draw);
        if (step % 16 == 0) {
            parcel *larger = hm_realloc(s->k->m, p, size + 200);
            KIT_EXPECT(s->k, larger, "a block from realloc", "NULL");
            expect_whole(s->k, larger);
            p = larger;
            p->size = size + 200;
            kit_mark(p + 1, p->size - sizeof *p, draw);
        }
        put_parcel(s->k, __atomic_exchange_n(&s->slots[(draw >> 20) % SLOTS], p,
                                             __ATOMIC_ACQ_REL));
    }
}

static void clear(shop *s)
{
    for (size_t i = 0; i < SLOTS; i++) {
        put_parcel(s->k, s->slots[i]);
    }
}

static void run_workers(shop *s)
{
    size_t threads[WORKERS];
    for (size_t i = 0; i < WORKERS; i++) {
        kit_thread_start(s->k, &threads[i], work, s);
    }
    for (size_t i = WORKERS; i-- > 0;) {
        kit_thread_join(threads[i]);
    }
}

static void churn(kit *k)
{
    threadsafe_only(k);
    shop s = {.k = k};
    hm_stats now;
    run_workers(&s);
    clear(&s);
    if (hm_malloc_stats(k->m, &now) == HM_OK) {
        KIT_EXPECT(k, now.live_blocks == 0 && now.live_bytes == 0,
                   "nothing live after all threads freed all", "%llu blocks, %llu bytes",
                   (unsigned long long)now.live_blocks,
                   (unsigned long long)now.live_bytes);
    }
}

/* The blocks of a thread that has gone stay, and may be freed by any other. */
static void fill_slots(void *context)
{
    shop *s = context;
    for (size_t i = 0; i < SLOTS; i++) {
        parcel *p = kit_alloc(s->k, s->k->m, sizeof(parcel) + i);
        p->size = sizeof(parcel) + i;
        p->seed = (unsigned)i;
        kit_mark(p + 1, i, p->seed);
        s->slots[i] = p;
    }
}

static void clear_slots(void *context)
{
    clear(context);
}

static void thread_exit(kit *k)
{
    if (k->kind->flags & HM_MALLOC_ONE_THREAD) {
        kit_pass_over(k, "not asked of a malloc for one thread");
    }
    for (int round = 0; round < 8; round++) {
        shop s = {.k = k};
        kit_on_thread(k, fill_slots, &s);
        if (round % 2) {
            clear(&s);
        } else {
            kit_on_thread(k, clear_slots, &s);
        }
    }
}

/* Freeing is not allocating: even a malloc for one thread takes its blocks back from any, one at a time. */
static void remote_free(kit *k)
{
    for (int round = 0; round < 8; round++) {
        shop s = {.k = k};
        fill_slots(&s);
        kit_on_thread(k, clear_slots, &s);
    }
}

static void expect_child_works(kit *k, void *block)
{
    int outcome = 0;
    const int copy = hm_core_table()->fork_run(&outcome);
    if (copy == 1) {
        for (size_t i = 1; i < 300; i++) {
            void *mine = kit_alloc(k, k->m, i * 7);
            kit_mark(mine, i * 7, 1);
            kit_free(k, k->m, mine);
        }
        KIT_EXPECT(k, kit_marked(block, 100, 5) == 100,
                   "the parent's blocks in the child", "changed bytes");
        kit_free(k, k->m, block);
        hm_malloc *fresh = kit_sibling(k);
        kit_free(k, fresh, kit_alloc(k, fresh, 100));
        hm_malloc_release(fresh);
        kit_end_process();
    }
    KIT_EXPECT(k, copy == 0 && outcome == 0, "a forked child that allocates and frees",
               "outcome %d", outcome);
}

static void fork_child(kit *k)
{
    void *block = kit_alloc(k, k->m, 100);
    kit_mark(block, 100, 5);
    expect_child_works(k, block);
    KIT_EXPECT(k, kit_marked(block, 100, 5) == 100, "the parent's blocks after a fork",
               "changed bytes");
    kit_free(k, k->m, block);
}

static void work_until_told(void *context)
{
    shop *s = context;
    while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
        void *block = kit_alloc(s->k, s->k->m, 200);
        kit_mark(block, 200, 9);
        kit_free(s->k, s->k->m, block);
    }
}

static void fork_under_load(kit *k)
{
    threadsafe_only(k);
    if (KIT_SANITIZED) {
        kit_pass_over(k, "built with a sanitizer, whose own locks a fork may find taken");
    }
    shop s = {.k = k};
    size_t thread;
    void *block = kit_alloc(k, k->m, 100);
    kit_mark(block, 100, 5);
    kit_thread_start(k, &thread, work_until_told, &s);
    for (int i = 0; i < 8; i++) {
        expect_child_works(k, block);
    }
    __atomic_store_n(&s.stop, 1, __ATOMIC_RELAXED);
    kit_thread_join(thread);
    kit_free(k, k->m, block);
}

static const kit_clause clauses[] = {
    {"malloc.threads.churn", "HM_MALLOC_THREADSAFE: any thread at any time", KIT_MUST,
     KIT_MALLOC, churn},
    {"malloc.threads.exit", "blocks outlive the thread that allocated them", KIT_MUST,
     KIT_MALLOC, thread_exit},
    {"malloc.threads.remote-free", "any thread may free, one at a time", KIT_MUST,
     KIT_MALLOC, remote_free},
    {"malloc.fork.child", "a forked child allocates and frees", KIT_MUST, KIT_MALLOC,
     fork_child},
    {"malloc.fork.under-load", "the same while another thread allocates", KIT_SHOULD,
     KIT_MALLOC, fork_under_load},
};
const kit_group kit_threads = KIT_GROUP(clauses);
