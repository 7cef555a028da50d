/* SPDX-License-Identifier: MIT */
/**
 * @file expat.h
 * @brief The bridge to expat: parsers that take their memory from a malloc.
 *
 *     hm_expat_parser made;
 *     hm_expat_create(m, NULL, NULL, &made, &err);
 *     ... XML_Parse(made.parser, ...) as ever ...
 *     hm_expat_free(&made);
 *
 * Scope of the hook: one parser with those made from it by XML_ExternalEntityParserCreate().
 * Window: creation.
 * What expat does not tell: sizes at the free, who asks, and which parser: its functions have no user data. So the bridge
 * has a few sets of functions, and a parser takes one for its life: HM_EXPAT_PARSERS with mallocs of their own at
 * a time; parsers over the same malloc share a set.
 *
 * A refused allocation is XML_ERROR_NO_MEMORY. Half of all frees are of NULL.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_EXPAT_H
#define HM_BRIDGES_EXPAT_H

#include <hostmalloc/malloc.h>

#define HM_EXPAT_PARSERS 8u /**< mallocs that parsers are over at the same time */

/** XML_Memory_Handling_Suite in plain C types. */
typedef struct hm_expat_suite {
    void *(*alloc)(size_t size);
    void *(*realloc)(void *block, size_t size);
    void (*free)(void *block);
} hm_expat_suite;

HM_BEGIN_DECLS

/** A set of functions over @p m, which gets a reference for each time it is taken. HM_E_INVALID for NULL or no malloc; HM_E_NOMEM
    when HM_EXPAT_PARSERS other mallocs have theirs. @threads any */
hm_status hm_expat_take(hm_malloc *m, const hm_expat_suite **out, hm_error *err);

/** The parser that took @p suite is gone; NULL, a suite of somebody else's and one that nobody has taken do nothing. @threads any */
void hm_expat_give_back(const hm_expat_suite *suite);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <expat.h>

/** A parser and the functions it took. */
typedef struct hm_expat_parser {
    XML_Parser parser;
    const hm_expat_suite *suite;
} hm_expat_parser;

/** XML_ParserCreate_MM() over @p m. @p separator as there, NULL without namespaces. @return HM_OK, HM_E_NOMEM,
    HM_E_INVALID; @p out is empty unless HM_OK. @threads any */
static inline hm_status hm_expat_create(hm_malloc *m,
                                        const XML_Char *encoding,
                                        const XML_Char *separator,
                                        hm_expat_parser *out,
                                        hm_error *err)
{
    XML_Memory_Handling_Suite suite;
    const hm_status status = hm_expat_take(m, &out->suite, err);
    out->parser = NULL;
    if (status != HM_OK) {
        return status;
    }
    suite.malloc_fcn = out->suite->alloc;
    suite.realloc_fcn = out->suite->realloc;
    suite.free_fcn = out->suite->free;
    out->parser = XML_ParserCreate_MM(encoding, &suite, separator);
    if (!out->parser) {
        hm_expat_give_back(out->suite);
        out->suite = NULL;
        return hm_error_set(err, HM_E_NOMEM, "bridge:expat", "no memory for a parser");
    }
    return HM_OK;
}

/** XML_ParserFree(), and gives the functions back. An empty one does nothing. @threads any */
static inline void hm_expat_free(hm_expat_parser *gone)
{
    if (gone->parser) {
        XML_ParserFree(gone->parser);
        hm_expat_give_back(gone->suite);
        gone->parser = NULL;
        gone->suite = NULL;
    }
}

#endif

#endif
