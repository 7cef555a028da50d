/* SPDX-License-Identifier: MIT */
/* Proving a function: its allocations are refused one after the other, and what it leaves is looked at. */
#include <hostmalloc/bridges/params.h>

#include <string.h>

#include <hostmalloc/module.h>

#define WHERE "params"

/* Before a call: what the in/outs were, and how many blocks there are. */
typedef struct state {
    const hm_params_case *one;
    void **before;         /* one.count */
    unsigned char *copies; /* of the in/outs' contents, one behind the other */
    size_t copy_bytes;
    uint64_t refused; /* the number of the refused allocation */
    uint64_t idle;    /* live blocks before prepare */
    uint64_t live;    /* and after it */
    hm_error *err;
} state;

static const hm_fault_rule no_faults = {.size = sizeof no_faults, .any_level = 1};

static int count_block(void *context, const hm_block *block)
{
    (void)block;
    ++*(uint64_t *)context;
    return 0;
}

static uint64_t live_blocks(const hm_params_case *one)
{
    uint64_t live = 0;
    (void)hm_walk(one->memory, count_block, &live);
    return live;
}

static hm_status wrong(const state *s, const char *name, const char *what)
{
    char when[48] = "nothing refused";
    hm_error text;
    if (s->refused) {
        hm_error_set(&text, HM_OK, "", "allocation %llu refused",
                     (unsigned long long)s->refused);
        memcpy(when, text.what, sizeof when - 1);
    }
    if (!name) {
        return hm_error_set(s->err, HM_E_INVALID, WHERE, "%s: %s", when, what);
    }
    return hm_error_set(s->err, HM_E_INVALID, WHERE, "%s: \"%.40s\" %s", when, name,
                        what);
}

/* Contents of the in/outs, one behind the other. */
static void copy_contents(const state *s)
{
    size_t at = 0;
    for (size_t i = 0; i < s->one->count; i++) {
        const hm_param *param = &s->one->params[i];
        s->before[i] = *param->place;
        if (param->direction == HM_PARAM_IN_OUT && *param->place) {
            memcpy(s->copies + at, *param->place, param->bytes);
            at += param->bytes;
        }
    }
}

/* A pointer that the function left is read only when it is a live block. */
static hm_status look_at(const state *s, size_t i, size_t copied)
{
    const hm_param *param = &s->one->params[i];
    void *const now = *param->place;
    if (!now) {
        return HM_OK;
    }
    if (param->direction == HM_PARAM_OUT) {
        if (s->one->rules == HM_PARAMS_MAPI) {
            return now == param->initial
                       ? HM_OK
                       : wrong(s, param->name, "is neither NULL nor its initial value");
        }
        return wrong(s, param->name, "is not NULL");
    }
    if (now != s->before[i]) {
        return wrong(s, param->name, "is neither NULL nor what was passed in");
    }
    if (hm_owns(s->one->memory, now) != 1) {
        return wrong(s, param->name, "was freed and is still there");
    }
    return memcmp(now, s->copies + copied, param->bytes) == 0
               ? HM_OK
               : wrong(s, param->name, "has other contents");
}

/* After a failing call. */
static hm_status look(const state *s)
{
    uint64_t should = s->live;
    size_t copied = 0;
    for (size_t i = 0; i < s->one->count; i++) {
        const hm_param *param = &s->one->params[i];
        const hm_status status = look_at(s, i, copied);
        if (status != HM_OK) {
            return status;
        }
        if (param->direction == HM_PARAM_IN_OUT && s->before[i]) {
            copied += param->bytes;
            should -= *param->place == NULL;
        }
    }
    const uint64_t live = live_blocks(s->one);
    if (live != should) {
        return wrong(s, NULL,
                     live > should ? "a block is left that nobody knows"
                                   : "a block of the caller's was freed");
    }
    return HM_OK;
}

/* One call with one refusal; *over when nothing was refused any more. */
static hm_status check_call(state *s, int *over)
{
    const hm_params_case *one = s->one;
    hm_fault_count count = {.size = sizeof count};
    char number[24];
    hm_error text;
    hm_error_set(&text, HM_OK, "", "%llu", (unsigned long long)s->refused);
    memcpy(number, text.what, sizeof number);
    number[sizeof number - 1] = 0;
    for (size_t i = 0; i < one->count; i++) {
        *one->params[i].place = one->params[i].initial;
    }
    if (one->prepare && one->prepare(one->context) != 0) {
        return hm_error_set(s->err, HM_E_NOMEM, WHERE, "the call was not prepared");
    }
    copy_contents(s);
    s->live = live_blocks(one);
    const hm_fault_rule rule = {.size = sizeof rule, .any_level = 1, .at = number};
    hm_status status = hm_fault_set(one->host, &rule);
    if (status != HM_OK) {
        return hm_error_set(s->err, status, WHERE, "no faults can be set");
    }
    const HRESULT result = one->call(one->context);
    (void)hm_fault_counted(one->host, &count);
    (void)hm_fault_set(one->host, &no_faults);
    *over = count.failed == 0;
    if (*over) {
        s->refused = 0;
    }
    if (result < 0) {
        status = *over ? wrong(s, NULL, "the call fails") : look(s);
    }
    if (status != HM_OK) {
        return status;
    }
    if (one->clean) {
        one->clean(one->context);
    }
    return live_blocks(one) == s->idle
               ? HM_OK
               : wrong(s, NULL,
                       "after the caller's clean-up the blocks are not those of before");
}

static hm_status check_case(const hm_params_case *one, hm_error *err)
{
    if (!one || one->size < sizeof *one || one->rules > HM_PARAMS_MAPI || !one->host ||
        !one->memory || !one->call || (one->count && !one->params)) {
        return hm_error_set(err, HM_E_INVALID, WHERE, "the case is not complete");
    }
    for (size_t i = 0; i < one->count; i++) {
        const hm_param *param = &one->params[i];
        if (!param->name || !param->place || param->direction < HM_PARAM_OUT ||
            param->direction > HM_PARAM_IN_OUT) {
            return hm_error_set(err, HM_E_INVALID, WHERE, "parameter %u is not complete",
                                (unsigned)i);
        }
    }
    /* Before anything is prepared: blocks that nobody counts would all be there. */
    uint64_t live = 0;
    const hm_status status = hm_walk(one->memory, count_block, &live);
    if (status != HM_OK || !(one->memory->flags & HM_MALLOC_EXACT)) {
        return hm_error_set(err, status == HM_OK ? HM_E_UNSUPPORTED : status, WHERE,
                            "the malloc does not know its blocks");
    }
    return HM_OK;
}

hm_status hm_params_check(const hm_params_case *one, uint64_t *refused, hm_error *err)
{
    const hm_core *core = hm_core_table();
    hm_status status = check_case(one, err);
    if (status != HM_OK) {
        return status;
    }
    state s = {.one = one, .err = err, .copy_bytes = 1};
    for (size_t i = 0; i < one->count; i++) {
        s.copy_bytes +=
            one->params[i].direction == HM_PARAM_IN_OUT ? one->params[i].bytes : 0;
    }
    const size_t before_bytes = (one->count + 1) * sizeof *s.before;
    s.before = core->memory_alloc(before_bytes);
    s.copies = core->memory_alloc(s.copy_bytes);
    uint64_t n = 0;
    if (s.before && s.copies) {
        int over = 0;
        s.idle = live_blocks(one);
        status = hm_fault_set(one->host, &no_faults); /* before anything is prepared */
        if (status != HM_OK) {
            hm_error_set(err, status, WHERE, "no fault layer in the host");
        }
        while (status == HM_OK && !over) {
            s.refused = ++n;
            status = check_call(&s, &over);
        }
    } else {
        status = hm_error_set(err, HM_E_NOMEM, WHERE, "no private memory");
    }
    core->memory_free(s.before, before_bytes);
    core->memory_free(s.copies, s.copy_bytes);
    if (refused) {
        *refused = n ? n - 1 : 0;
    }
    return status;
}
