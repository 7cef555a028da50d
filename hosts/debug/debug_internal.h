/* SPDX-License-Identifier: MIT */
/* The objects of the debug host: what a process, a host, a malloc and a thread keep.
 *
 * Locks, outermost first: walking, a host's report, lock. All rank with the hosts' (core/lock_internal.h). */
#ifndef HM_DEBUG_INTERNAL_H
#define HM_DEBUG_INTERNAL_H

#include <hostmalloc/debug.h>
#include <hostmalloc/layer.h>

#include "block_internal.h"
#include "block_map_internal.h"

#define DEBUG_NO_LIMIT ((uint64_t)INT64_MAX)

typedef struct debug_host debug_host;
typedef struct debug_malloc debug_malloc;
typedef struct debug_thread debug_thread;
typedef struct debug_scope debug_scope;
typedef struct debug_patterns debug_patterns;
typedef struct debug_live debug_live;
typedef struct debug_guarded debug_guarded;

/* What one writer counted for one site. Freed is kept apart from allocated, so that each is only ever added to. What is
   freed is not in one place, or compilers add both with a vector and pay for packing it. */
typedef struct debug_tally {
    uint64_t blocks; /* one writer, any reader */
    uint64_t bytes;
    uint64_t freed_bytes;
    uint64_t
        peak_bytes; /* of bytes - freed_bytes, as found by frees: see hm__debug_tally_peak */
    uint64_t freed_blocks;
    uint64_t reserved[3];
} debug_tally;

_Static_assert(sizeof(debug_tally) == 64, "a cache line for a site");

#define DEBUG_GROUP 16u /* tallies made at a time */

/* A block held back, with what its header and epitaph say: both may be overwritten meanwhile. */
typedef struct debug_held {
    void *block;
    uint8_t *state; /* its byte in the map */
    size_t bytes;
    uint64_t epitaph;
} debug_held;

/* The tallies of one writer and the blocks it holds back: an unsynchronised malloc has one book, a thread-safe
   one has one for each thread that used it, and a common one where exited threads' are added up. */
typedef struct debug_book {
    debug_tally **groups; /* by site / DEBUG_GROUP; replaced under lock */
    uint32_t group_count;
    uint32_t
        evicting; /* atomic: not 0 while blocks go back to the inner malloc; see walk_internal.h */
    int64_t room;          /* bytes that may be allocated before the next tell */
    int64_t room_least;    /* since the last tell, as found by frees */
    int64_t told;          /* live bytes at the last tell; see ledger_internal.h */
    debug_held *held_next; /* where the next block held back goes */
    debug_held *held_end;  /* of the half that is being filled */
    int64_t held_room;     /* bytes the half that is being filled may still take */
    /* one cache line up to here */

    int64_t peak;        /* of live bytes, up to the last tell */
    uint32_t paused;     /* evicting, while its thread waits for a walker */
    uint32_t waits;      /* its thread does, to give blocks back */
    debug_held *held;    /* two halves; see quarantine.c */
    uint32_t held_half;  /* entries in each */
    uint32_t held_older; /* entries of the other half in use */
    debug_malloc *owner;
    debug_thread *thread;    /* NULL: the common book */
    struct debug_book *next; /* of the malloc; guarded by lock */
} debug_book;

_Static_assert(offsetof(debug_book, peak) == 64, "hot fields share a line");

/* What the hot path asks a thread for: one word answers whether the thread was here before, is in no scope, has a book for
   this malloc, and whether the malloc is without a limit. Whatever else is for slow.c. */
typedef struct debug_here {
    const debug_malloc *malloc; /* used last, NULL: none; other threads may forget it */
    debug_book *book;           /* the thread's own, or the malloc's */
    uint64_t low;               /* the thread's number as it goes into headers */
    uint32_t id;                /* as the core counts threads */
} debug_here;

struct debug_thread {
    debug_here *here;   /* NULL: the thread was a parent's, or is nearly over */
    debug_book **books; /* by number of malloc; replaced under lock */
    uint32_t book_count;
    uint32_t id;  /* as the core counts threads */
    uint64_t low; /* the same, cut, as it goes into headers */
    debug_thread *next;
    debug_scope *scopes; /* scope.c's; innermost last */
    uint32_t scope_count;
    uint32_t scope_room;
    /* stacks_capture.c's: */
    uintptr_t stack_high; /* 0: not asked for yet */
    uint64_t random;
    int64_t sample_left; /* bytes until the next in the sample; 0: not drawn yet */
    uint32_t in_stack;   /* 1: what this thread allocates has no stack */
};

struct debug_malloc {
    hm_malloc base;
    hm_malloc *inner;
    debug_book *book; /* of an unsynchronised malloc */
    uint64_t limit;   /* DEBUG_NO_LIMIT: none */
    uint64_t
        high; /* owner, generation and what is known of the seal, as they go into headers */
    hm_site *inside_site;
    uint32_t
        inside; /* thread inside an unsynchronised malloc, 0: none; a hint, not a lock */
    uint32_t fill; /* DEBUG_FILL_* */
    /* one cache line up to here */

    debug_host *host;
    uint32_t number; /* the owner in high */
    uint32_t kind;   /* DEBUG_KIND_* */
    uint32_t edge;   /* bytes of rear guard */
    uint32_t
        least; /* bytes of a block, where it is freed with an epitaph and has no rear guard */
    uint32_t references; /* atomic */
    uint32_t
        released; /* atomic: 2 when the last reference is gone and no block is left */
    uint32_t told_overlap;
    uint32_t no_leaks;     /* its name is ignored */
    uint32_t thread_books; /* made so far; written under lock */
    uint32_t many_books;   /* more than one thread has used it; guarded by lock */
    int64_t
        charged; /* atomic; shared live bytes: exact under a limit, else as told by books */
    int64_t shared_peak; /* atomic */
    uint64_t denied;     /* atomic */
    uint64_t failed;     /* atomic */
    uint64_t damaged;    /* atomic: blocks withdrawn */
    uint64_t lost;     /* atomic: of these, without a header; nobody can count them out */
    debug_book *books; /* guarded by lock; the common one is last */
    debug_book common;
    hm_debug ask;
    const hm_malloc_vtbl *live_vtbl;
    debug_malloc *next; /* of the host; guarded by lock */
    char name[40];
};

_Static_assert(offsetof(debug_malloc, host) == 64, "hot fields share a line");

/* What hm__debug_tables has tables for: the modes as they are, and any mixture of their parts. */
#define DEBUG_KIND_STATS   0u
#define DEBUG_KIND_CHECKED 1u
#define DEBUG_KIND_FULL    2u
#define DEBUG_KIND_MIXED   3u
#define DEBUG_KINDS        4u

#define DEBUG_FILL_NONE 0u
#define DEBUG_FILL_ENDS 1u
#define DEBUG_FILL_ALL  2u

/* A finding that was printed: the next of its kind at the same places is only counted. */
typedef struct debug_seen {
    const char *what;
    uint32_t allocated_site;
    uint32_t site;
    uint32_t number;
    hm_status status;
    uint64_t times;
    /* of the first one, for snapshots */
    uint64_t bytes;
    uint32_t serial;
    uint32_t freed_site;
    uint32_t threads[3]; /* allocated, freed, here; 0 unknown */
    uint32_t known;      /* 1: there is a block, and the figures are its */
    char malloc_name[40];
} debug_seen;
#define DEBUG_SEEN_MAX 128u

/* How often something did not fit that has room for so many only. Atomic. */
typedef struct debug_dropped {
    uint64_t sites;    /* blocks whose site's number does not fit into headers */
    uint64_t held;     /* freed blocks that were too large to be held back */
    uint64_t released; /* released mallocs that are forgotten */
} debug_dropped;

#define DEBUG_HELD_QUARTER UINT64_MAX
#define DEBUG_HELD_LEAST   65536u /* that quarter is not less */

/* The block to stop at; see break.c. */
typedef struct debug_break {
    uint32_t number; /* 0: none */
    int aborts;
    char place[256]; /* "file.c:42" */
} debug_break;

/* Where a host writes; see files.c. */
typedef struct debug_file {
    int fd;
    uint32_t is_parents; /* 1: opened by the process this one was forked from */
    hm_lock lock;        /* guards the two; under it nobody is called but for files */
    int lost;            /* atomic: the first error that kept something out of it */
    char path[1024];     /* as written, "%p" in it; empty: it has no name */
} debug_file;

struct debug_host {
    hm_layer_host layer;
    hm_debug ask;
    uint32_t kind;         /* DEBUG_KIND_*, as its mallocs get it */
    uint32_t edge;         /* bytes of rear guard */
    uint32_t fill;         /* DEBUG_FILL_* */
    uint32_t held_entries; /* 0: none */
    uint64_t held_bytes;   /* DEBUG_HELD_QUARTER: of the live ones */
    debug_dropped dropped;
    uint32_t released; /* mallocs released and empty; guarded by lock, as the next */
    uint32_t mark;     /* the last checkpoint */
    int leaks;
    uint32_t exit_code;       /* of a process with leaks or findings; 0: its own */
    uint32_t process;         /* that opened it */
    uint64_t leaked;          /* blocks in the last leak report */
    int suppressions;         /* printed with leaks */
    debug_patterns *patterns; /* NULL: none */
    uint32_t ignores;         /* 1: some block was ignored once */
    debug_file report_file;
    debug_file snapshot_file; /* for a snapshot at the end */
    hm_debug_tell *tell; /* atomic; NULL: nobody; changed under report, as the next */
    void *tell_context;
    uint32_t tellers;  /* atomic: threads in tell */
    hm_lock report;    /* one finding at a time; guards the next four */
    uint32_t findings; /* printed in full */
    uint32_t kinds;    /* entries of seen */
    uint64_t repeats;  /* like an earlier one, or past the end of seen */
    debug_seen seen[DEBUG_SEEN_MAX];
    debug_break stop;
    debug_guarded *guarded; /* NULL: none */
    uint64_t sample_bytes;  /* one in so many has a stack; 0: all of them */
    uint32_t frames;        /* of a stack; 0: there are none */
    int heaptracks;         /* heaptrack is told of blocks */
    int annotates;          /* valgrind or AddressSanitizer is told of blocks */
    int keeps_references;   /* who retained is known */
    debug_live *live;       /* NULL: none */
    debug_malloc *mallocs;  /* guarded by lock */
    debug_host *next;       /* of the process; guarded by lock */
};

typedef struct debug_process {
    const hm_core *core;
    hm__block_map map;
    hm_lock lock;     /* guards lists, numbers, and the shape of books */
    hm_lock walking;  /* held by whoever reads headers of blocks not its own */
    uint32_t walkers; /* atomic: DEBUG_WALK_*; see walk_internal.h */
    debug_malloc *
        *mallocs;       /* by number; DEBUG_OWNER_MAX + 1 of them, NULL: free number */
    uint8_t *traits;    /* by number: DEBUG_TRAIT_* */
    uint32_t free_from; /* no lower number is free; guarded by lock */
    debug_thread *threads;
    debug_host *hosts;
    uint64_t threads_cut; /* atomic: threads whose number does not fit into headers */
    uint32_t thread_key;
    uint32_t started; /* guarded by lock */
} debug_process;

extern DEBUG_HIDDEN debug_process hm__debug;
extern DEBUG_HIDDEN _Thread_local debug_here hm__debug_here;
extern DEBUG_HIDDEN _Thread_local debug_thread *hm__debug_me;
/* The same while the thread is in a scope, when hm__debug_me is NULL to keep it off the hot path. */
extern DEBUG_HIDDEN _Thread_local debug_thread *hm__debug_scoped;

/* process.c */
hm_status hm__debug_start(hm_error *err);
debug_thread *
hm__debug_attach(void); /* hm__debug_self, made if need be; NULL: no memory */
uint32_t hm__debug_number_take(debug_malloc *m,
                               unsigned traits); /* 0: none left; lock held */
void hm__debug_number_give(uint32_t number);     /* lock held */
debug_malloc *
hm__debug_malloc_of(uint32_t number); /* NULL when there is none (any more) */
/* walk.c. Between the two, blocks stay readable: nothing goes back to inner mallocs but by the caller itself. */
void hm__debug_walk_begin(void); /* may be nested */
void hm__debug_walk_end(void);
int hm__debug_walk_mine(void); /* the calling thread is between the two */

/* Make m the one this thread's hot path is open for. 0: it may not be. */
int hm__debug_here_turn(debug_malloc *m);
void hm__debug_here_forget(const debug_malloc *m); /* every thread's; lock held */

/* host.c */
hm_status
hm__debug_describe(const hm_core *core, const hm_host_info *const **list, size_t *count);

/* path.c: "%p" becomes the process number. 0: the path is too long. */
int hm__debug_path(char *to, size_t size, const char *from);

/* object.c: life of a malloc */
hm_status hm__debug_malloc_create(hm_host *self,
                                  const hm_malloc_opts *opts,
                                  hm_malloc **out,
                                  hm_error *err);
void hm__debug_malloc_discard(debug_malloc *m); /* host is going: nothing refers to it */
void hm__debug_malloc_retain(hm_malloc *self);
void hm__debug_malloc_release(hm_malloc *self);
void hm__debug_malloc_flush(debug_malloc *m); /* everything held back, in all books */
uint64_t hm__debug_live_blocks(const debug_malloc *m);

/* reset.c */
hm_status hm__debug_malloc_reset(hm_malloc *self);
void hm__debug_malloc_close(hm_malloc *self);
void hm__debug_malloc_trim(hm_malloc *self);

/* malloc.c: by HM_MALLOC_THREADSAFE */
extern const hm_malloc_vtbl hm__debug_tables[DEBUG_KINDS][2];

/* slow.c: what the hot path does not do at once: something to be made ready first, or for the next three */
void *hm__debug_alloc_rare(debug_malloc *m, size_t size, hm_level level, hm_site *site);
hm_status hm__debug_free_rare(
    debug_malloc *m, void *block, size_t size, size_t alignment, hm_site *site);
/* The rest of an allocation that was counted in: header is NULL, or has no byte in the map yet. */
void *
hm__debug_alloc_late(debug_malloc *m, debug_header *header, uint64_t low, uint64_t high);
/* The same without haste. */
void *hm__debug_alloc_slow(debug_malloc *m,
                           size_t size,
                           size_t alignment,
                           hm_level level,
                           hm_site *site,
                           int zeroed);
/* claimed: the block is in state FREED already, by the caller. */
hm_status hm__debug_free_slow(debug_malloc *m,
                              void *block,
                              size_t size,
                              size_t alignment,
                              hm_site *site,
                              int claimed);
/* claimed: the block is in state MOVING already. */
void *hm__debug_realloc_slow(debug_malloc *m,
                             void *block,
                             size_t old_size,
                             size_t size,
                             hm_level level,
                             hm_site *site,
                             int claimed);
void hm__debug_count_failed(debug_malloc *m);
/* The same after it was counted in. */
void hm__debug_count_back(debug_malloc *m, uint32_t site, size_t bytes);
/* The map's byte for the block of a fresh inner block, its leaf made; NULL: header is NULL, or it was given back. */
uint8_t *hm__debug_state_make(debug_malloc *m, debug_header *header, size_t whole);

/* released.c: the table of a malloc whose last reference is gone */
extern const hm_malloc_vtbl hm__debug_released;

/* ask.c */
extern const hm_debug_vtbl hm__debug_ask_host;
extern const hm_debug_vtbl hm__debug_ask_malloc;

/* check.c: the edges of all blocks, of one malloc where only says so */
hm_status
hm__debug_check(const debug_host *host, const debug_malloc *only, uint64_t *damaged);

/* checkpoint.c */
hm_status hm__debug_checkpoint(debug_host *host, uint32_t *mark);
uint64_t hm__debug_mark_high(const debug_host *host,
                             const debug_malloc *m); /* lock held */
hm_status hm__debug_since(debug_host *host,
                          const debug_malloc *only,
                          uint32_t from,
                          uint32_t to,
                          hm_debug_visit *visit,
                          void *context);

/* snapshot.c */
int hm__debug_snapshot(debug_host *host, int fd); /* 0, or the error of what is lost */

/* query.c */
size_t hm__debug_size_of(hm_malloc *self, const void *block);
size_t hm__debug_good_size(hm_malloc *self, size_t size);
int hm__debug_owns(hm_malloc *self, const void *block);
hm_status hm__debug_describe_block(hm_malloc *self, const void *block, hm_block *out);
hm_status hm__debug_walk(hm_malloc *self, hm_visit *visit, void *context);
hm_status hm__debug_stats(hm_malloc *self, hm_stats *out);
hm_status hm__debug_find(hm_malloc *self, const char *interface_name, void **out);

/* The table of a malloc that is told nothing else. */
static inline const hm_malloc_vtbl *hm__debug_usual(const debug_malloc *m)
{
    return &hm__debug_tables[m->kind][(m->base.flags & HM_MALLOC_THREADSAFE) != 0];
}

static inline unsigned hm__debug_traits(uint32_t number)
{
    return DEBUG_GET(hm__debug.traits[number]);
}

/* The calling thread, in a scope or not; NULL: it was not here before. */
static inline debug_thread *hm__debug_self(void)
{
    debug_thread *me = hm__debug_me;
    return me ? me : hm__debug_scoped;
}

static inline debug_malloc *hm__debug_from(hm_malloc *self)
{
    return (debug_malloc *)self; /* base is the first member */
}

static inline debug_host *hm__debug_host_from(hm_host *self)
{
    return (debug_host *)self; /* layer.base is the first member */
}

#endif
