/* SPDX-License-Identifier: MIT */
/* Hosts that each break one clause: wrappers over default that pass everything on but for one thing. The module
 * describes one host, "mutant", whose option says which of them it is; mutants.txt says which clauses each fails. */
#ifndef HM_TESTS_KIT_MUTANTS_H
#define HM_TESTS_KIT_MUTANTS_H

#include <hostmalloc/layer.h>

#include <errno.h>
#include <string.h>

typedef struct mutant_host {
    hm_layer_host layer;
    hm_malloc_vtbl malloc_vtbl;
    hm_host_vtbl host_vtbl;
    hm_subscribers subscribers;
    hm_subscribers ghosts; /* who unsubscribed, and is told nevertheless */
} mutant_host;

typedef struct mutant_malloc {
    hm_layer_malloc layer;
    mutant_host *host;
    uint32_t asked; /* flags */
    size_t limit;
    hm_lock lock;
    int closed;
    int live;
    unsigned nulls; /* freed */
    void *kept;     /* a freed block for the next allocation */
} mutant_malloc;

typedef struct mutant {
    const char *name;
    void (*change)(hm_malloc_vtbl *m, hm_host_vtbl *h);
} mutant;

typedef struct mutant_group {
    const mutant *mutants;
    size_t count;
} mutant_group;

extern const mutant_group mutant_blocks, mutant_answers, mutant_objects, mutant_hosts;
extern const hm_core *mutant_core;

#define MUTANT_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MUTANT_GROUP(table)         \
    {                               \
        table, MUTANT_COUNT(table), \
    }

static inline mutant_malloc *mutant_of(hm_malloc *self)
{
    return (mutant_malloc *)self; /* layer is the first member, base is its first */
}

static inline hm_malloc *inner_of(hm_malloc *self)
{
    return mutant_of(self)->layer.inner;
}

static inline mutant_host *mutant_host_of(hm_host *self)
{
    return (mutant_host *)self;
}

static inline hm_host *below(hm_host *self)
{
    return mutant_host_of(self)->layer.inner;
}

/* Blocks of it are libc's own: nothing in front of them, and nobody knows them. */
static inline int is_plain(hm_malloc *self)
{
    return !(mutant_of(self)->asked & ~(HM_MALLOC_THREADSAFE | HM_MALLOC_ONE_THREAD)) &&
           !mutant_of(self)->limit;
}

/* hm_host_vtbl.create_malloc of all: an object over default's with these options, but granted these flags. */
hm_status
mutant_create(hm_host *self, const hm_malloc_opts *opts, hm_malloc **out, hm_error *err);

#endif
