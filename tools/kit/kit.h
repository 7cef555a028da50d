/* SPDX-License-Identifier: MIT */
/* The conformance kit behind `hostmalloc check`: every clause of malloc.h, host.h and module.h is one named case.
 *
 * A clause runs in a process of its own, so that a crash or a hang is its failure and nobody else's. It opens the
 * host by its spec, and most clauses are repeated for each kind of malloc object the host makes. A clause that finds
 * what it must not ends its process by kit_fail(); one that the host does not offer ends by kit_pass_over(); one that
 * returns held. Clauses say what they expect in words a host's author understands without reading the kit.
 *
 * One file per group of clauses; run.c runs them, isolate.c knows processes, report.c writes. */
#ifndef HM_KIT_H
#define HM_KIT_H

#include <hostmalloc/hostmalloc.h>

#include <stdio.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KIT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KIT_SANITIZED 1
#endif
#endif
#ifndef KIT_SANITIZED
#define KIT_SANITIZED 0
#endif

#define KIT_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What is checked: a spec, after loading a module if there is one. Without a spec: the module itself. */
typedef struct kit_subject {
    const char *module; /* path, or NULL */
    const char *spec;
    int verbose; /* what the host writes is shown */
} kit_subject;

/* A kind of malloc object. */
typedef struct kit_kind {
    const char *label;
    uint32_t flags;
    size_t limit;
} kit_kind;

/* What a clause runs on. */
typedef struct kit {
    const kit_subject *subject;
    const kit_kind *kind; /* of KIT_MALLOC clauses */
    hm_host *host;
    hm_malloc *m; /* of KIT_MALLOC clauses, fresh for each of them and each kind */
} kit;

enum kit_level { KIT_SHOULD, KIT_MUST };

enum kit_scope {
    KIT_MALLOC, /* for every kind of malloc object */
    KIT_HOST,   /* once, with the host open */
    KIT_OPEN,   /* once, nothing open */
    KIT_MODULE, /* once for a module, nothing loaded */
};

typedef struct kit_clause {
    const char *name;    /* "malloc.alloc.aligned" */
    const char *promise; /* what the headers say */
    enum kit_level level;
    enum kit_scope scope;
    void (*run)(kit *k);
} kit_clause;

typedef struct kit_group {
    const kit_clause *clauses;
    size_t count;
} kit_group;

#define KIT_GROUP(table)         \
    {                            \
        table, KIT_COUNT(table), \
    }

extern const kit_group kit_blocks, kit_reallocs, kit_requests, kit_sizes, kit_owners,
    kit_records, kit_stats, kit_life, kit_closing, kit_limits, kit_verdicts, kit_threads,
    kit_create, kit_objects, kit_pages, kit_notices, kit_module;
extern const kit_group *const kit_groups[]; /* ends with NULL */

enum kit_outcome { KIT_UNDECIDED, KIT_HELD, KIT_FAILED, KIT_NOT_OFFERED };

/* How one clause ended. */
typedef struct kit_result {
    const kit_clause *clause;
    enum kit_outcome outcome;
    char kind[48]; /* of malloc object, where the clause failed; may be empty */
    char expected[200];
    char found[240]; /* or why it is not offered */
    unsigned ms;
} kit_result;

/* run.c */
#define KIT_NAMES_MAX 64
#define KIT_NAME_SIZE 72

/* What a module describes, or why it cannot be had. */
typedef struct kit_names {
    size_t count;
    struct {
        char name[KIT_NAME_SIZE];
        int is_layer;
    } names[KIT_NAMES_MAX];
    hm_error err; /* where count is 0 */
} kit_names;

/* Both fork; the caller's process never loads or opens what is checked. */
void kit_probe(const kit_subject *subject, kit_names *out);
/* Ends within limit_ms. */
void kit_run(const kit_subject *subject,
             const kit_clause *clause,
             unsigned limit_ms,
             kit_result *out);

/* report.c */
typedef struct kit_report {
    int json;
    int verbose;
    const char *subject;
    size_t held, failed, must_failed, not_offered;
} kit_report;
void kit_report_result(kit_report *report, const kit_result *result);
void kit_report_summary(const kit_report *report);
void kit_report_list(void);

/* isolate.c */
/* What the processes of a clause share; zero at first. */
#define KIT_PAGE_OPEN    0u
#define KIT_PAGE_TAKEN   1u /* somebody is writing the result */
#define KIT_PAGE_DECIDED 2u
typedef struct kit_page {
    uint32_t state; /* atomic: KIT_PAGE_* */
    kit_result result;
    kit_names names;
} kit_page;

/* Run body in a child, with its output on nothing unless verbose. 1: it ran to the end and left its result in the
   page; 0: it did not, and end says in words how it ended. The page is valid until the next call. */
int kit_isolate(void (*body)(void *context, kit_page *page),
                void *context,
                int verbose,
                unsigned limit_ms,
                const kit_page **page,
                char *end,
                size_t end_size);
_Noreturn void kit_end_process(void);
void kit_yield(void);
void kit_thread_start(kit *k, size_t *thread, void (*run)(void *context), void *context);
void kit_thread_join(size_t thread);
/* Threads of this process; 0 where that cannot be seen. */
size_t kit_thread_count(void);
/* Bytes of memory this process has in RAM; 0 where that cannot be seen. */
size_t kit_resident_bytes(void);
/* Bytes in use of the process's own malloc; always the same where that cannot be seen. */
size_t kit_malloc_bytes(void);
/* What is written to standard output and error in between; -1 where it cannot be caught. */
int kit_capture_begin(void);
size_t kit_capture_end(int capture);

/* For clauses. From any thread: the clause has failed. */
_Noreturn void kit_fail(kit *k, const char *expected, const char *found, ...)
    HM_PRINTF(3, 4);
/* From the clause's own thread only, and with nothing of its own left open but blocks. */
_Noreturn void kit_pass_over(kit *k, const char *reason, ...) HM_PRINTF(2, 3);

#define KIT_EXPECT(k, condition, expected, ...)     \
    do {                                            \
        if (!(condition)) {                         \
            kit_fail((k), (expected), __VA_ARGS__); \
        }                                           \
    } while (0)

/* Does the object judge what it is asked to free? Does it promise to know its blocks? */
int kit_is_checked(const kit *k);
int kit_is_exact(const kit *k);
/* Never NULL: the clause fails first. */
void *kit_alloc(kit *k, hm_malloc *m, size_t size);
void kit_free(kit *k, hm_malloc *m, void *block);
/* A malloc with these flags and limit; where there is none, the clause is passed over. */
hm_malloc *kit_malloc_with(kit *k, uint32_t flags, size_t limit);
/* Another malloc of the same kind. */
hm_malloc *kit_sibling(kit *k);
void kit_on_thread(kit *k, void (*run)(void *context), void *context);
int kit_is_aligned(const void *block, size_t alignment);
/* Every byte of a block carries a mark of its place and of seed. */
void kit_mark(void *block, size_t size, unsigned seed);
/* The first byte that lost its mark, or size. */
size_t kit_marked(const void *block, size_t size, unsigned seed);
int kit_is_zero(const void *block, size_t size);

#endif
