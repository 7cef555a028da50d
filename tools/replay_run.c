/* SPDX-License-Identifier: MIT */
/* Replays a recording: one thread for each recorded one, as fast as the host answers.
 *
 * A call waits for what it needs and for nothing else: for its malloc to be made, for the block it frees to be
 * allocated by whatever thread does that, and where a malloc is reset or released, all that was called before.
 * Every wait is for a call with a lower number, so there is always one that goes on. Blocks are written to, one
 * byte in each page and a mark at the start, which must still be there when the block is freed. */
#include "replay_internal.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE      4096u
#define SPINS     200
#define DONE      UINT64_MAX
#define PATH_TEXT 4096

static char refused_mark, gone_mark;
#define REFUSED ((void *)&refused_mark) /* the host gave none */
#define GONE    ((void *)&gone_mark)    /* freed or moved */

typedef struct live_block {
    void *address; /* atomic: NULL until it is there */
    uint32_t malloc;
} live_block;

typedef struct live_malloc {
    hm_malloc
        *object; /* atomic: NULL until it is there, REFUSED before and after its time */
    uint32_t epoch; /* atomic: barriers passed */
} live_malloc;

typedef struct worker {
    struct replay *replay;
    const replay_thread *events;
    replay_counts counts;
    uint64_t failed;
    uint64_t damaged;
    pthread_t thread;
    _Alignas(64) uint64_t at; /* atomic: number of the call it is at; DONE */
} worker;

typedef struct replay {
    const replay_trace *trace;
    hm_host *host;
    worker *workers;
    live_malloc *mallocs;
    live_block *blocks;
    uint32_t go; /* atomic */
} replay;

static void *load_pointer(void *const *place)
{
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

static void pause_a_while(int *turns)
{
    if (++*turns > SPINS) {
        sched_yield();
    }
}

static hm_malloc *make_malloc(replay *all, uint32_t index, hm_error *err)
{
    const replay_malloc *recorded = &all->trace->mallocs[index];
    hm_malloc *made = NULL;
    char name[32];
    snprintf(name, sizeof name, "malloc-%u", recorded->number);
    const hm_malloc_opts opts = {sizeof opts, name, recorded->flags, 0,
                                 (size_t)recorded->limit};
    hm_host_create_malloc_opts(all->host, &opts, &made, err);
    return made;
}

/* The object of an event's malloc, once what must come before has; NULL when the host refused it. */
static hm_malloc *await_malloc(replay *all, const replay_event *event)
{
    live_malloc *m = &all->mallocs[event->malloc];
    int turns = 0;
    while (!__atomic_load_n(&m->object, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&m->epoch, __ATOMIC_ACQUIRE) < event->epoch) {
        pause_a_while(&turns);
    }
    hm_malloc *object = __atomic_load_n(&m->object, __ATOMIC_ACQUIRE);
    return (void *)object == REFUSED ? NULL : object;
}

static void *await_block(replay *all, uint32_t index)
{
    int turns = 0;
    void *block;
    while (!(block = load_pointer(&all->blocks[index].address))) {
        pause_a_while(&turns);
    }
    return block;
}

/* Until all other threads are past that number. */
static void await_all(worker *self, uint64_t number)
{
    replay *all = self->replay;
    for (uint32_t i = 0; i < all->trace->thread_count; i++) {
        int turns = 0;
        while (&all->workers[i] != self &&
               __atomic_load_n(&all->workers[i].at, __ATOMIC_ACQUIRE) <= number) {
            pause_a_while(&turns);
        }
    }
}

static int takes_marks(const worker *self, const replay_event *event)
{
    return !(self->replay->trace->mallocs[event->malloc].flags & HM_MALLOC_EXECUTABLE);
}

static void check(worker *self, const void *block, uint32_t index, uint64_t bytes)
{
    uint32_t mark = 0;
    if (bytes >= sizeof mark) {
        memcpy(&mark, block, sizeof mark);
        self->damaged += mark != index;
    }
}

static void touch(void *block, uint32_t index, uint64_t bytes)
{
    for (uint64_t i = PAGE; i < bytes; i += PAGE) {
        ((char *)block)[i] = 1;
    }
    if (bytes >= sizeof index) {
        memcpy(block, &index, sizeof index);
    }
}

/* What an allocation gave becomes the event's block. */
static void born(worker *self, const replay_event *event, void *block)
{
    live_block *place = &self->replay->blocks[event->out];
    if (block && takes_marks(self, event)) {
        touch(block, event->out, event->bytes);
    }
    if (block) {
        self->counts.calls[event->kind]++;
        self->counts.bytes += event->bytes;
    } else {
        self->failed++;
    }
    place->malloc = event->malloc;
    __atomic_store_n(&place->address, block ? block : REFUSED, __ATOMIC_RELEASE);
}

static void *allocate(worker *self, hm_malloc *m, const replay_event *event)
{
    const replay_trace *trace = self->replay->trace;
    hm_site *site = event->site ? trace->sites[event->site - 1] : NULL;
    const size_t bytes = (size_t)event->bytes;
    switch (event->kind) {
    case HM_TRACE_ZEROED:
        return hm_alloc_zeroed_at(m, 1, bytes, event->level, site);
    case HM_TRACE_ALIGNED:
        return hm_alloc_aligned_at(m, bytes, (size_t)1 << (event->alignment_log2 & 63),
                                   event->level, site);
    default:
        return hm_alloc_at(m, bytes, event->level, site);
    }
}

static void reallocate(worker *self, hm_malloc *m, const replay_event *event)
{
    replay *all = self->replay;
    void *block = await_block(all, event->in);
    if (block == REFUSED) {
        born(self, event, NULL);
        return;
    }
    hm_site *site = event->site ? all->trace->sites[event->site - 1] : NULL;
    const uint64_t before = all->trace->block_bytes[event->in];
    void *moved =
        hm_realloc_at(m, block, (size_t)before, (size_t)event->bytes, event->level, site);
    if (moved) {
        if (takes_marks(self, event)) {
            check(self, moved, event->in, before < event->bytes ? before : event->bytes);
        }
        all->blocks[event->in].address = GONE;
    }
    born(self, event, moved);
}

static void release(worker *self, hm_malloc *m, const replay_event *event)
{
    replay *all = self->replay;
    void *block = await_block(all, event->in);
    const uint64_t bytes = all->trace->block_bytes[event->in];
    hm_status status;
    if (block == REFUSED) {
        return;
    }
    if (takes_marks(self, event)) {
        check(self, block, event->in, bytes);
    }
    all->blocks[event->in].address = GONE;
    if (event->kind == HM_TRACE_FREE_SIZED) {
        status = hm_free_sized_at(m, block, (size_t)bytes, NULL);
    } else {
        status = hm_free_at(m, block, HM_SIZE_UNKNOWN, 0, NULL);
    }
    if (status == HM_OK) {
        self->counts.calls[event->kind]++;
    } else {
        self->damaged++;
    }
}

static void barrier(worker *self, hm_malloc *m, const replay_event *event)
{
    live_malloc *place = &self->replay->mallocs[event->malloc];
    await_all(self, event->number);
    hm_status status = HM_OK;
    if (m && event->kind == HM_TRACE_RELEASE) {
        __atomic_store_n(&place->object, (hm_malloc *)REFUSED, __ATOMIC_RELEASE);
        hm_malloc_release(m);
    } else if (m && event->kind == HM_TRACE_RESET) {
        status = hm_malloc_reset(m);
    } else if (m) {
        hm_malloc_close(m);
    }
    if (m && status == HM_OK) {
        self->counts.calls[event->kind]++;
    } else {
        self->failed++;
    }
    __atomic_store_n(&place->epoch, event->epoch + 1, __ATOMIC_RELEASE);
}

static void step(worker *self, const replay_event *event)
{
    replay *all = self->replay;
    if (event->kind == HM_TRACE_CREATE_MALLOC) {
        hm_malloc *made = make_malloc(all, event->malloc, NULL);
        self->counts.calls[event->kind] += made != NULL;
        self->failed += !made;
        __atomic_store_n(&all->mallocs[event->malloc].object,
                         made ? made : (hm_malloc *)REFUSED, __ATOMIC_RELEASE);
        return;
    }
    hm_malloc *m = await_malloc(all, event);
    switch (event->kind) {
    case HM_TRACE_RELEASE:
    case HM_TRACE_RESET:
    case HM_TRACE_CLOSE:
        barrier(self, m, event);
        break;
    case HM_TRACE_FREE:
    case HM_TRACE_FREE_SIZED:
        if (m) {
            release(self, m, event);
        }
        break;
    case HM_TRACE_REALLOC:
        if (m) {
            reallocate(self, m, event);
        } else {
            born(self, event, NULL);
        }
        break;
    default:
        born(self, event, m ? allocate(self, m, event) : NULL);
    }
}

static void *work(void *context)
{
    worker *self = context;
    int turns = 0;
    while (!__atomic_load_n(&self->replay->go, __ATOMIC_ACQUIRE)) {
        pause_a_while(&turns);
    }
    for (size_t i = 0; i < self->events->count; i++) {
        const replay_event *event = &self->events->events[i];
        __atomic_store_n(&self->at, event->number, __ATOMIC_RELEASE);
        step(self, event);
    }
    __atomic_store_n(&self->at, DONE, __ATOMIC_RELEASE);
    return NULL;
}

/* A line of the process's own status, in bytes; 0 where the system has none. */
static uint64_t own_memory(const char *key)
{
    char text[PATH_TEXT];
    const long length =
        hm_core_table()->file_read("/proc/self/status", text, sizeof text);
    const char *line = length > 0 ? strstr(text, key) : NULL;
    return line ? strtoull(line + strlen(key), NULL, 10) * 1024 : 0;
}

/* From here on the peak counts anew, where the system can do that. */
static void forget_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file) {
        fputs("5", file);
        fclose(file);
    }
}

/* Mallocs whose creation the recording does not have are there from the start. */
static int prepare(replay *all)
{
    const replay_trace *trace = all->trace;
    hm_error err;
    for (uint32_t i = 0; i < trace->malloc_count; i++) {
        if (!trace->mallocs[i].created) {
            all->mallocs[i].object = make_malloc(all, i, &err);
            if (!all->mallocs[i].object) {
                hm_error_print(&err);
                return 0;
            }
        }
    }
    return 1;
}

static void clean_up(replay *all, replay_result *result)
{
    for (uint32_t i = 0; i < all->trace->block_count; i++) {
        live_block *block = &all->blocks[i];
        hm_malloc *m = block->address ? all->mallocs[block->malloc].object : NULL;
        if (m && (void *)m != REFUSED && block->address != GONE &&
            block->address != REFUSED) {
            result->left++;
            hm_free_at(m, block->address, HM_SIZE_UNKNOWN, 0, NULL);
        }
    }
    for (uint32_t i = 0; i < all->trace->malloc_count; i++) {
        hm_malloc *m = all->mallocs[i].object;
        if (m && (void *)m != REFUSED) {
            hm_malloc_release(m);
        }
    }
}

/* 1, or 0: a thread could not be started; those that were end at once. */
static int run_workers(replay *all, replay_result *result)
{
    const uint32_t count = all->trace->thread_count;
    static const replay_thread nothing;
    uint32_t started = 0;
    while (started < count && pthread_create(&all->workers[started].thread, NULL, work,
                                             &all->workers[started]) == 0) {
        started++;
    }
    if (started < count) {
        fprintf(stderr, "hostmalloc: replay: %u of %u threads could be started\n",
                started, count);
        for (uint32_t i = 0; i < started; i++) {
            all->workers[i].events = &nothing;
        }
    }
    forget_peak();
    const uint64_t before = own_memory("VmRSS:");
    const uint64_t start = hm_core_table()->now_ns();
    __atomic_store_n(&all->go, 1, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(all->workers[i].thread, NULL);
    }
    result->nanoseconds = hm_core_table()->now_ns() - start;
    const uint64_t peak = own_memory("VmHWM:");
    result->grown = peak > before ? peak - before : 0;
    return started == count;
}

static void add_up(const replay *all, replay_result *result)
{
    for (uint32_t i = 0; i < all->trace->thread_count; i++) {
        const worker *w = &all->workers[i];
        for (uint32_t kind = 0; kind < HM_TRACE_KINDS; kind++) {
            result->counts.calls[kind] += w->counts.calls[kind];
        }
        result->counts.bytes += w->counts.bytes;
        result->failed += w->failed;
        result->damaged += w->damaged;
    }
}

/* Zeroed, and touched, so that it does not count as memory the replay took. */
static void *room_for(size_t count, size_t size)
{
    void *room = aligned_alloc(64, (count + 1) * size + (64 - (count + 1) * size % 64));
    return room ? memset(room, 0, (count + 1) * size) : NULL;
}

int replay_run(const replay_trace *trace, hm_host *host, replay_result *result)
{
    replay all = {.trace = trace,
                  .host = host,
                  .workers = room_for(trace->thread_count, sizeof(worker)),
                  .mallocs = room_for(trace->malloc_count, sizeof(live_malloc)),
                  .blocks = room_for(trace->block_count, sizeof(live_block))};
    memset(result, 0, sizeof *result);
    int good = all.workers && all.mallocs && all.blocks;
    if (!good) {
        fprintf(stderr, "hostmalloc: replay: out of memory\n");
    }
    for (uint32_t i = 0; good && i < trace->thread_count; i++) {
        all.workers[i].replay = &all;
        all.workers[i].events = &trace->threads[i];
    }
    good = good && prepare(&all) && run_workers(&all, result);
    if (good) {
        add_up(&all, result);
    }
    if (all.mallocs && all.blocks) {
        clean_up(&all, result);
    }
    free(all.workers);
    free(all.mallocs);
    free(all.blocks);
    return good;
}
