/* SPDX-License-Identifier: MIT */
/**
 * @file module.h
 * @brief What describes a host or a layer, and what a shared library exports to offer some.
 *
 * Built-in hosts use the same structs and enter by the same function. A module exports one symbol,
 * hm_module_describe, and links nothing of ours: what it needs is in hm_core.
 * Stable since 1.0: members are only added at the end; ask HM_HAS(core, hm_core, member) for added ones.
 */
#ifndef HM_MODULE_H
#define HM_MODULE_H

#include <hostmalloc/host.h>

typedef struct hm_core hm_core;
typedef struct hm_option_values hm_option_values;

#define HM_OPTION_BOOL   1 /**< a key alone is true; yes/no, true/false, on/off, 1/0 */
#define HM_OPTION_NUMBER 2 /**< 0 to 2^64-1 */
#define HM_OPTION_BYTES  3 /**< a number, then nothing, K, M or G (of 1024) */
#define HM_OPTION_TEXT   4
#define HM_OPTION_CHOICE 5 /**< one of hm_option.choices */
#define HM_OPTION_RATIO  6 /**< "1/4096", "0.01" or "1": a probability, 0 to 1 */
#define HM_OPTION_SPEC \
    7 /**< a host spec, usually in parentheses; its names are checked when it is opened */

/** One option of a host or a layer. */
typedef struct hm_option {
    size_t size; /**< sizeof(hm_option) as the module compiled it */
    const char *name;
    int32_t type;         /**< HM_OPTION_* */
    uint32_t flags;       /**< 0 */
    const char *fallback; /**< the default, as a user would write it; NULL: not set */
    const char *help;     /**< one line */
    const char *choices;  /**< HM_OPTION_CHOICE: "stats|checked|full" */
} hm_option;

#define HM_KIND_HOST  1u
#define HM_KIND_LAYER 2u

/** Describes one host or layer. Static in whoever offers it; never copied, never freed. */
typedef struct hm_host_info {
    size_t size;         /**< sizeof(hm_host_info) as the module compiled it */
    uint32_t abi;        /**< HM_ABI */
    uint32_t kind;       /**< HM_KIND_HOST or HM_KIND_LAYER */
    const char *name;    /**< lower case letters, digits and '_' */
    const char *summary; /**< one line */
    const char *version;
    const hm_option *const *options;
    size_t option_count;
    /**
     * Make one. @p values holds every option, set or default; valid during the call only.
     * A layer takes its own reference to @p inner (hosts get NULL).
     * *out gets one reference, or NULL and the reason in @p err.
     */
    hm_status (*open)(const hm_option_values *values,
                      hm_host *inner,
                      hm_host **out,
                      hm_error *err);
} hm_host_info;

/**
 * The only symbol a module exports. Answers who it is: no allocation, no threads, no output.
 * @p core is valid for the life of the process.
 */
typedef hm_status hm_module_describe_fn(const hm_core *core,
                                        const hm_host_info *const **list,
                                        size_t *count);
#ifdef __cplusplus
extern "C"
#endif
    HM_MODULE_VISIBLE hm_status
    hm_module_describe(const hm_core *core,
                       const hm_host_info *const **list,
                       size_t *count);

/** A lock of one word. Zero is unlocked; needs no destruction; not recursive. */
typedef struct hm_lock {
    uint32_t word;
} hm_lock;

/** What runs around fork(): prepare in rising rank, parent and child in falling rank, so whoever holds a lock while it
    calls another must rank below that one. The core's runtime and registry are below 500; layers use 500 to 999,
    hosts 1000 to 1999; locks under which nobody is called may be anywhere above. */
typedef struct hm_fork_hooks {
    size_t size;
    int32_t rank;
    void *context;
    void (*prepare)(void *context);
    void (*parent)(void *context);
    void (*child)(void *context);
    struct hm_fork_hooks *next; /**< the core's, as the next */
    uint32_t prepared;
    uint32_t reserved;
} hm_fork_hooks;

/** A set of (notify, context) pairs for a host that sends notifications itself. Zero is empty. */
typedef struct hm_subscribers {
    hm_lock lock;
    uint32_t calling;
    void *list;
} hm_subscribers;

/** An allocator that offers no more than alloc and free; hm_core.wrap_host makes a whole host of it. Its
    functions may use mallocs made before, but neither make nor release one. */
typedef struct hm_allocator {
    size_t size;
    void *context;
    void *(*alloc)(void *context,
                   size_t bytes); /**< aligned to alignof(max_align_t); NULL: none */
    void (*release)(void *context, void *block, size_t bytes); /**< bytes as asked for */
    uint32_t flags; /**< HM_ALLOCATOR_THREADSAFE */
    uint32_t reserved;
} hm_allocator;
#define HM_ALLOCATOR_THREADSAFE \
    0x1u /**< alloc and release may be called by several threads at once */

/**
 * What the core offers to implementers, the same table for built-in hosts and modules.
 * Functions marked "hot" are safe to call on every allocation; all may be called from any thread.
 */
struct hm_core {
    size_t size;
    uint32_t abi;
    uint32_t reserved;
    const char *version;

    /* errors, names */
    hm_status (*error_set)(hm_error *err,
                           hm_status status,
                           const char *where,
                           const char *format,
                           ...) HM_PRINTF(4, 5);
    const char *(*status_name)(hm_status status);

    /* sites (site.h) */
    hm_site *(*site_intern)(const char *file, const char *function, uint32_t line);
    uint32_t (*site_id)(hm_site *site);          /**< hot once the site has its number */
    const hm_site *(*site_from_id)(uint32_t id); /**< hot */
    char *(*site_text)(const hm_site *site, int with_function, char *text, size_t size);

    /* levels (malloc.h) */
    hm_level (*level_now)(void);

    /* private memory: never the process's malloc, so what watches an allocator does not disturb it */
    void *(*memory_alloc)(
        size_t bytes); /**< zeroed, aligned to 16; NULL when there is none */
    void (*memory_free)(void *memory,
                        size_t bytes); /**< NULL does nothing; bytes as asked for */
    void *(*pages_map)(size_t bytes);  /**< zeroed pages, read and write */
    void (*pages_unmap)(void *pages, size_t bytes);

    /* locks, threads, fork */
    void (*lock)(hm_lock *lock);
    void (*unlock)(hm_lock *lock);
    uint32_t (*thread_id)(void); /**< hot; 1, 2, 3, ... never given twice */
    /** A per-thread pointer; @p at_exit (NULL allowed) gets it, when not NULL, as its thread exits.
        HM_E_NOMEM when the system has no more keys. */
    hm_status (*thread_key)(uint32_t *key, void (*at_exit)(void *value));
    void *(*thread_get)(uint32_t key);
    hm_status (*thread_set)(uint32_t key, void *value);
    void (*at_fork)(hm_fork_hooks *hooks); /**< kept for good: static or never freed */
    uint64_t (*now_ns)(void);              /**< monotonic */
    size_t (*random)(void *bytes,
                     size_t count); /**< from the system; how many were had */
    void (*write)(int fd,
                  const char *text,
                  size_t bytes); /**< all of it, or as much as goes */

    /* files, for reports and recordings; none of it allocates */
    /** A descriptor for write(), or -1; the file is made, and cut unless @p append. */
    int (*file_create)(const char *path, int append);
    void (*file_close)(int fd);
    /** @p bytes (a multiple of 4096) of a fresh file of zeros, mapped and shared: it outlives the process.
        NULL when refused; given back with file_unmap. */
    void *(*file_map)(const char *path, size_t bytes);
    void (*file_unmap)(void *pages, size_t bytes);
    /** Read a small file whole into @p text, terminated; bytes, or -1. */
    long (*file_read)(const char *path, char *text, size_t size);
    uint32_t (*process_id)(void);
    /** A copy of the process that runs on from here while the original waits. 1: this is the copy; 0: the
        original, and *outcome is the copy's exit code, or 256 + the signal that ended it; -1: none was made. */
    int (*fork_run)(int *outcome);

    /* options; the name must be one of the info's, the type the option's */
    int (*option_bool)(const hm_option_values *values, const char *name);
    uint64_t (*option_number)(const hm_option_values *values,
                              const char *name); /**< NUMBER and BYTES */
    double (*option_ratio)(const hm_option_values *values, const char *name);
    const char *(*option_text)(
        const hm_option_values *values,
        const char *name); /**< TEXT, CHOICE, SPEC; NULL when not set */
    int (*option_given)(const hm_option_values *values,
                        const char *name); /**< written by the user */

    /* objects */
    /** Read @p opts (NULL allowed, any size) into @p copy; refuse unknown and contradicting flags, and flags
        outside @p supported with HM_E_UNSUPPORTED. */
    hm_status (*malloc_opts_read)(const hm_malloc_opts *opts,
                                  uint32_t supported,
                                  hm_malloc_opts *copy,
                                  hm_error *err);
    hm_status (*malloc_validate)(const hm_malloc *m, hm_error *err);
    hm_status (*host_validate)(const hm_host *host, hm_error *err);
    hm_status (*host_open)(const char *spec, hm_host **out, hm_error *err);
    /** Slots in terms of the others: copy the table and replace what you do better. alloc, free, retain,
        release and size_of are yours and NULL there; alloc_aligned answers what alloc's own alignment allows;
        close switches the object to a table like malloc_closed's, whose realloc shrinks by the object's own. */
    const hm_malloc_vtbl *malloc_basics;
    /** create_malloc, retain and release are yours and NULL there. Pages and load are the system's; find
        finds nothing; subscribe hears of the system's pressure. */
    const hm_host_vtbl *host_basics;
    /** Pass everything to hm_layer_malloc.inner and hm_layer_host.inner (layer.h). */
    const hm_malloc_vtbl *malloc_forward;
    const hm_host_vtbl *host_forward;
    /** Turn @p live into a table for a drained object: the same frees, allocations that answer NULL. A realloc
        that shrinks answers the block as it is, or NULL where HM_MALLOC_DEBUG says that sizes are checked. */
    void (*malloc_closed)(const hm_malloc_vtbl *live, hm_malloc_vtbl *closed);

    /* the ready-made wrapping host: header, size, alignment, ownership, scope, limit over alloc and free */
    /** One malloc over @p allocator (copied), every flag but EXECUTABLE granted. @p host is retained by it. */
    hm_status (*wrap_malloc)(const hm_allocator *allocator,
                             hm_host *host,
                             const hm_malloc_opts *opts,
                             hm_malloc **out,
                             hm_error *err);
    hm_status (*wrap_host)(const hm_allocator *allocator,
                           const char *name,
                           hm_host **out,
                           hm_error *err);

    /* notifications, for hosts and layers that refuse allocations themselves */
    hm_status (*subscribers_add)(hm_subscribers *set, hm_notify *notify, void *context);
    hm_status (*subscribers_remove)(hm_subscribers *set,
                                    hm_notify *notify,
                                    void *context);
    size_t (*subscribers_tell)(hm_subscribers *set,
                               hm_pressure pressure); /**< bytes given back in all */

    /** From now on each arrival of a signal ("USR2", "SIGUSR2" or a number) adds one to *counter, atomically,
        and then does what it did before, but for ending the process. @p counter stays valid for good.
        1, or 0: no such signal, or no more room. */
    int (*signal_count)(const char *name, uint32_t *counter);
};

HM_BEGIN_DECLS

/** The table modules are handed, for code that is linked with the library: bridges and tools need locks and
    private memory too. Valid for the life of the process. @threads any */
HM_API const hm_core *hm_core_table(void);

HM_END_DECLS

#endif
