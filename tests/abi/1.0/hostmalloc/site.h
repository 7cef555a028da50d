/* SPDX-License-Identifier: MIT */
/**
 * @file site.h
 * @brief A place in the source that asks for memory: file, line, function.
 *
 * Callers rarely see one: hm_alloc() and its relatives pass HM_SITE by themselves. Bridges whose
 * runtime hands over (file, line) pairs use hm_site_intern(). Hosts that count by site ask for the
 * site's number once, with hm_site_id(), and keep numbers from then on.
 * Stable since 1.0.
 */
#ifndef HM_SITE_H
#define HM_SITE_H

#include <hostmalloc/abi.h>

/**
 * One static object per call in the source, so that counting by site needs no lookup.
 * Everything but `id` is constant; `id` is 0 until a host first asks for the number.
 */
typedef struct hm_site {
    const char *file;     /**< as the compiler spells it; NULL is read as "?" */
    const char *function; /**< may be NULL */
    uint32_t line;
    uint32_t id; /**< written once, atomically, by hm_site_id() */
} hm_site;

HM_STATIC_ASSERT(sizeof(hm_site) == 2 * sizeof(void *) + 8,
                 "hm_site never grows: programs hold them statically");

/** The address of a static hm_site for this very line; NULL where the compiler has no way to say it. */
#if defined(__cplusplus)
#if defined(__GNUC__)
/* __PRETTY_FUNCTION__ inside the lambda names the enclosing function and keeps the object constant. */
#define HM_SITE                                                                 \
    ([]() -> hm_site * {                                                        \
        static hm_site hm__site = {__FILE__, __PRETTY_FUNCTION__, __LINE__, 0}; \
        return &hm__site;                                                       \
    }())
#else
#define HM_SITE                                                     \
    ([]() -> hm_site * {                                            \
        static hm_site hm__site = {__FILE__, nullptr, __LINE__, 0}; \
        return &hm__site;                                           \
    }())
#endif
#elif defined(__GNUC__)
#define HM_SITE                                                      \
    (__extension__({                                                 \
        static hm_site hm__site = {__FILE__, __func__, __LINE__, 0}; \
        &hm__site;                                                   \
    }))
#else
#define HM_SITE ((hm_site *)0)
#endif

HM_BEGIN_DECLS

/**
 * The one site for (@p file, @p function, @p line), for pairs known only at run time.
 *
 * Strings are compared and copied by content, so the caller may free them at once, and a header
 * inlined into many objects is one site. A per-thread cache answers repeats; a pair seen before on
 * any thread is found without a lock.
 * @param file      NULL gives NULL: no site
 * @param function  NULL allowed
 * @return valid for the life of the process; NULL when there is no memory for a new one
 * @threads any
 */
HM_API hm_site *hm_site_intern(const char *file, const char *function, uint32_t line);

/**
 * The small number of a site: 1, 2, 3, ... in order of first use. The first call copies the site's
 * strings, so the number stays printable after the code that holds @p site is unmapped; static sites
 * that say the same place share one number.
 * @return 0 for NULL, and when there is no memory for a new number
 * @threads any
 */
HM_API uint32_t hm_site_id(hm_site *site);

/** The site behind a number; NULL for 0 and for numbers never given. @threads any */
HM_API const hm_site *hm_site_from_id(uint32_t id);

/** How many numbers were given so far; the highest is the same. @threads any */
HM_API uint32_t hm_site_count(void);

/**
 * Write "file:line" (or "file:line (function)" when @p with_function is not 0) into @p text, cut to
 * @p size bytes with the terminator; "(unknown)" for NULL. What C++ adds to a function's name for
 * HM_SITE's lambda is left out. Allocates nothing.
 * @return @p text
 * @threads any
 */
HM_API char *
hm_site_text(const hm_site *site, int with_function, char *text, size_t size);

HM_END_DECLS

#endif
