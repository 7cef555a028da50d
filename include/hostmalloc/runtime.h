/* SPDX-License-Identifier: MIT */
/**
 * @file runtime.h
 * @brief The runtime core: the side that asks a host for mallocs on a runtime's behalf.
 *
 * An embedder opens one per language runtime, creates the mallocs it hands to bridges, starts it when
 * the guest is up, and closes it to learn what each malloc still owns. Several may live in one process,
 * each with its own host.
 * Stable since 1.0.
 */
#ifndef HM_RUNTIME_H
#define HM_RUNTIME_H

#include <hostmalloc/host.h>

typedef struct hm_runtime hm_runtime;

typedef struct hm_runtime_opts {
    size_t size;      /**< sizeof(hm_runtime_opts) as the caller compiled it */
    const char *name; /**< for reports; copied; NULL is "runtime" */
    hm_host *host;    /**< the runtime takes a reference of its own */
    const char *
        spec; /**< see registry.h; host or spec, or neither for $HOSTMALLOC; both: HM_E_INVALID */
} hm_runtime_opts;

/** What a closing runtime's mallocs still own, in requested bytes. */
typedef struct hm_leaks {
    size_t size;      /**< sizeof(hm_leaks) as the caller compiled it */
    uint64_t mallocs; /**< objects that still own blocks */
    uint64_t blocks;
    uint64_t bytes;
    uint64_t unknown; /**< objects whose host keeps no count */
} hm_leaks;

/** One malloc of a runtime, as hm_runtime_visit() shows it. */
typedef struct hm_runtime_entry {
    size_t size;
    const char *name;
    hm_malloc *malloc_object; /**< no reference is given */
    hm_status counted;        /**< HM_OK if stats holds figures, else why not */
    hm_stats stats;
} hm_runtime_entry;

HM_BEGIN_DECLS

/**
 * Open a runtime core. The calling thread enters HM_LEVEL_PROCESS: a runtime that cannot start takes the
 * process with it; hm_runtime_start() leaves it.
 * @param opts NULL: all defaults
 * @param[out] out NULL unless HM_OK
 * @threads any
 */
HM_API hm_status hm_runtime_open(const hm_runtime_opts *opts,
                                 hm_runtime **out,
                                 hm_error *err);

/** Ask the host for a malloc; @p opts may be NULL. The caller gets one reference, the runtime keeps one until
    it closes. HM_E_CLOSED after close. @threads any */
HM_API hm_status hm_runtime_create_malloc(hm_runtime *rt,
                                          const hm_malloc_opts *opts,
                                          hm_malloc **out,
                                          hm_error *err);

/** Change the host before the first malloc was made; then HM_E_STARTED, naming the first asker. @threads any */
HM_API hm_status hm_runtime_set_host(hm_runtime *rt, hm_host *host, hm_error *err);

/** The host, without a reference. @threads any */
HM_API hm_host *hm_runtime_host(hm_runtime *rt);

/** The guest is up: the thread that opened leaves HM_LEVEL_PROCESS. HM_E_STARTED the second time.
    @threads owner */
HM_API hm_status hm_runtime_start(hm_runtime *rt);

/** Show every malloc made so far to @p visit; a value other than 0 ends it. @threads any */
HM_API hm_status hm_runtime_visit(hm_runtime *rt,
                                  int (*visit)(void *context,
                                               const hm_runtime_entry *entry),
                                  void *context);

/**
 * Close: count what each malloc still owns into @p leaks (NULL allowed; size set by the caller), drain every
 * malloc (frees still work, allocations fail), give up the runtime's references and free @p rt.
 * @param rt NULL does nothing and answers HM_OK
 * @return HM_OK whether or not something leaked; leaks say so
 * @threads owner
 */
HM_API hm_status hm_runtime_close(hm_runtime *rt, hm_leaks *leaks, hm_error *err);

HM_END_DECLS

#endif
