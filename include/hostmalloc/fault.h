/* SPDX-License-Identifier: MIT */
/**
 * @file fault.h
 * @brief The fault layer's questions: fail chosen allocations of a running program.
 *
 * "fault:nth=17+default" refuses the 17th allocation. Which allocations count is narrowed by size, level and
 * site; which of the counted ones fail is said by number, period or probability. hm_fault_sweep() runs a function
 * once per allocation it makes, failing the first, then the second, and so on until it gets through.
 * Stable since 1.0.
 */
#ifndef HM_FAULT_H
#define HM_FAULT_H

#include <hostmalloc/host.h>

/** Zero everywhere means: count every allocation, fail none. */
typedef struct hm_fault_rule {
    size_t size; /**< sizeof(hm_fault_rule) as the caller compiled it */
    const char *
        site; /**< count only sites "file:line" that match, with * and ?; NULL: all. Copied */
    uint64_t size_min; /**< count only requests of at least so many bytes */
    uint64_t size_max; /**< and at most so many; 0: no bound */
    int32_t any_level; /**< 0: only `level`; 1: every level */
    hm_level level;
    const char
        *at; /**< fail these of the counted: "3,7,20-25,100-"; NULL: none. Copied */
    uint64_t every; /**< fail every so-manieth */
    double
        probability; /**< fail each with this chance, decided by seed and number alone */
    uint64_t seed;
    uint32_t persistent; /**< once one failed, fail all counted ones that follow */
    uint32_t
        fork; /**< at each counted one, fork: it fails in the copy, which runs to its end first */
} hm_fault_rule;

/** What happened since the rule was set. */
typedef struct hm_fault_count {
    size_t size;              /**< sizeof(hm_fault_count) as the caller compiled it */
    uint64_t counted;         /**< allocations that the rule applies to */
    uint64_t failed;          /**< of them, refused */
    uint64_t last_failed;     /**< number of the last refused one; 0 none */
    const hm_site *last_site; /**< and where it was asked for; NULL unknown */
    uint64_t copies;          /**< forked */
    uint64_t copies_died;     /**< of them, ended by a signal */
} hm_fault_count;

/** What find("fault") of a fault layer's host or malloc gives. @threads any */
typedef struct hm_fault {
    size_t size;
    void *self;
    hm_status (*set)(void *self,
                     const hm_fault_rule *rule); /**< counts start again at 0 */
    hm_status (*count)(void *self, hm_fault_count *out);
    void (*benign)(void *self, int begin); /**< this thread; nests */
} hm_fault;

HM_BEGIN_DECLS

static inline const hm_fault *hm_fault_of(hm_host *host)
{
    void *found = (void *)0;
    return hm_host_find(host, "fault", &found) == HM_OK ? (const hm_fault *)found
                                                        : (const hm_fault *)0;
}

/** Set the rule of the outermost fault layer of @p host. HM_E_NOT_FOUND when there is none, HM_E_INVALID for a
    rule that cannot be read. @threads any */
static inline hm_status hm_fault_set(hm_host *host, const hm_fault_rule *rule)
{
    const hm_fault *fault = hm_fault_of(host);
    return fault ? fault->set(fault->self, rule) : HM_E_NOT_FOUND;
}

static inline hm_status hm_fault_counted(hm_host *host, hm_fault_count *out)
{
    const hm_fault *fault = hm_fault_of(host);
    out->size = sizeof *out;
    return fault ? fault->count(fault->self, out) : HM_E_NOT_FOUND;
}

/** Between begin and end this thread's allocations are not counted and do not fail. */
static inline void hm_fault_benign_begin(hm_host *host)
{
    const hm_fault *fault = hm_fault_of(host);
    if (fault) {
        fault->benign(fault->self, 1);
    }
}

static inline void hm_fault_benign_end(hm_host *host)
{
    const hm_fault *fault = hm_fault_of(host);
    if (fault) {
        fault->benign(fault->self, 0);
    }
}

/**
 * Run @p run again and again, failing its 1st, 2nd, 3rd ... counted allocation, until it makes fewer.
 * @param run answers 0 when it coped (an orderly "out of memory" is coping), anything else when it did not
 * @param rule narrows what is counted; its way to choose is replaced; NULL: everything
 * @param[out] last which allocation it was at the end, and where
 * @return HM_OK when every one was coped with, HM_E_INVALID at the first that was not, HM_E_NOT_FOUND
 */
static inline hm_status hm_fault_sweep(hm_host *host,
                                       const hm_fault_rule *rule,
                                       int (*run)(void *context),
                                       void *context,
                                       hm_fault_count *last)
{
    const hm_fault_rule all = {sizeof all, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    hm_fault_rule one = rule ? *rule : all;
    char number[24];
    uint64_t n = 0;
    hm_status status;
    one.every = 0;
    one.probability = 0;
    one.fork = 0;
    one.at = number;
    do {
        char digits[24];
        int length = 0;
        for (uint64_t rest = ++n; rest; rest /= 10) {
            digits[length++] = (char)('0' + rest % 10);
        }
        for (int i = 0; i < length; i++) {
            number[i] = digits[length - 1 - i];
        }
        number[length] = 0;
        status = hm_fault_set(host, &one);
        if (status != HM_OK) {
            return status;
        }
        const int coped = run(context) == 0;
        status = hm_fault_counted(host, last);
        if (!coped) {
            status = HM_E_INVALID;
        }
    } while (status == HM_OK && last->failed > 0);
    one.at = 0;
    hm_fault_set(host, &one);
    return status;
}

HM_END_DECLS

#endif
