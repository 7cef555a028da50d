/* SPDX-License-Identifier: MIT */
/**
 * @file params.h
 * @brief Who owns what crosses an interface: the rules of COM and of MAPI, as help for whoever is called and as checks.
 *
 *     hm_params_begin(&p, &memory);
 *     hm_params_out(&p, name);                      NULL from here on, whatever happens
 *     char *n = hm_params_alloc(&p, name, 10);
 *     return hm_params_end(&p, n ? S_OK : E_OUTOFMEMORY);
 *
 * The rules, for everything that is passed by reference and is no interface pointer:
 *  - out: the callee allocates, the caller frees. After a failure COM wants NULL, members of structures included; MAPI
 *    the initial value or NULL.
 *  - in/out: the caller allocates, the callee may free that and allocate another, the caller frees what is there in
 *    the end. After a failure it is as it was, contents included, or NULL with the former freed.
 *  - nothing is left that the caller would not know to free.
 * Interface pointers follow AddRef and Release alone; hm_references_check() looks after those.
 *
 * hm_params_check() proves a function: it fails each allocation that the function makes, one after the other.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_PARAMS_H
#define HM_BRIDGES_PARAMS_H

#include <hostmalloc/bridges/com.h>
#include <hostmalloc/fault.h>

#define HM_PARAMS_COM  0u
#define HM_PARAMS_MAPI 1u

/** Where data that crosses an interface comes from, and by whose rules. Static, or as long as what uses it. */
typedef struct hm_params_memory {
    size_t size;       /**< sizeof(hm_params_memory) as the caller compiled it */
    uint32_t rules;    /**< HM_PARAMS_COM or HM_PARAMS_MAPI */
    uint32_t reserved; /**< 0 */
    void *context;
    void *(*alloc)(void *context,
                   size_t bytes); /**< a root, by MAPI's words; NULL: refused */
    void (*release)(void *context, void *block); /**< NULL does nothing */
} hm_params_memory;

#define HM_PARAMS_MOST 8 /**< parameters and blocks of one call */

/** The parameters of one call, for the callee; its members are its own. */
typedef struct hm_params {
    const hm_params_memory *memory;
    uint32_t count;
    uint32_t failed;
    struct {
        void **place;
        void *before; /**< in/out: the caller's */
        void *block;  /**< allocated for this place */
    } at[HM_PARAMS_MOST];
} hm_params;

#define HM_PARAM_OUT    1u
#define HM_PARAM_IN_OUT 2u

/** A parameter as hm_params_check() looks at it. */
typedef struct hm_param {
    const char *name;   /**< for the verdict */
    uint32_t direction; /**< HM_PARAM_* */
    uint32_t reserved;  /**< 0 */
    void **place;       /**< the caller's variable, or the member of its structure */
    void *initial;      /**< HM_PARAM_OUT: what is put there before each call */
    size_t bytes;       /**< HM_PARAM_IN_OUT: of the block, whose contents are compared */
} hm_param;

/** A function to be proved. */
typedef struct hm_params_case {
    size_t size;       /**< sizeof(hm_params_case) as the caller compiled it */
    uint32_t rules;    /**< HM_PARAMS_* */
    uint32_t reserved; /**< 0 */
    hm_host *host;     /**< with a fault layer; the function's allocations come from it */
    hm_malloc *memory; /**< whose blocks are counted and owned: exact, over host */
    int (*prepare)(
        void *
            context); /**< before each call: put the in/outs there; 0 done; NULL: nothing to do */
    HRESULT (*call)(void *context); /**< an HRESULT or SCODE: negative is a failure */
    void (*clean)(
        void *
            context); /**< after each call: free what the caller owns by the rules; NULL: nothing */
    void *context;
    const hm_param *params;
    size_t count;
} hm_params_case;

/** What an object's references should be. */
typedef struct hm_references {
    size_t size; /**< sizeof(hm_references) as the caller compiled it */
    IUnknown *object;
    const IID *const *interfaces; /**< that it answers, beside IUnknown */
    size_t count;
    /** Of an object that is never destroyed, what AddRef and Release always answer; both 0: it is counted. */
    ULONG add_ref;
    ULONG release;
} hm_references;

HM_BEGIN_DECLS

/** Begin. @threads distinct, as all of these */
void hm_params_begin(hm_params *p, const hm_params_memory *memory);

/** An out parameter: COM's becomes NULL now. A NULL @p place makes the call fail with E_POINTER (MAPI: E_INVALIDARG). */
void hm_params_out(hm_params *p, void **place);

/** An in/out parameter: it is left alone until the call succeeds. NULL as above. */
void hm_params_in_out(hm_params *p, void **place);

/** A block that will be @p place's when the call succeeds, in place of an earlier one; NULL: refused, or @p place was not
    announced, and the call fails. @p place NULL: one that nobody gets, for the callee's own use. */
void *hm_params_alloc(hm_params *p, void **place, size_t bytes);

/**
 * End: after a success every place gets its block, and the in/outs that got another are freed; after a failure every
 * block is freed, and the places are as the rules say.
 * @return @p result; where that is a success but an allocation was refused E_OUTOFMEMORY; E_POINTER, E_INVALIDARG
 */
HRESULT hm_params_end(hm_params *p, HRESULT result);

/**
 * Run @p one again and again, refusing its first, second, ... allocation, until none is refused, and look at its
 * parameters each time.
 * @param[out] refused how many were; NULL allowed
 * @return HM_OK; HM_E_INVALID with what is wrong in @p err: 'allocation 2 refused: "name" is not NULL'; HM_E_NOT_FOUND
 *         without a fault layer; HM_E_UNSUPPORTED for a malloc that does not list its blocks; HM_E_NOMEM
 * @threads distinct: nobody else allocates from the host
 */
hm_status hm_params_check(const hm_params_case *one, uint64_t *refused, hm_error *err);

/**
 * Ask an object for its interfaces, and count its references: what is answered has one more, the same question has the
 * same answer, IUnknown is one pointer, a stranger's interface is E_NOINTERFACE and NULL, and in the end there are as many
 * references as before.
 * @return HM_OK; HM_E_INVALID with what is wrong in @p err
 * @threads distinct: nobody else holds references meanwhile
 */
hm_status hm_references_check(const hm_references *expected, hm_error *err);

HM_END_DECLS

#endif
