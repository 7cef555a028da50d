/* SPDX-License-Identifier: MIT */
/* The callee's side of the ownership rules: nothing is handed out before the call succeeded. */
#include <hostmalloc/bridges/params.h>

#define REFUSED 1u
#define NOWHERE 2u

void hm_params_begin(hm_params *p, const hm_params_memory *memory)
{
    p->memory = memory;
    p->count = 0;
    p->failed = 0;
}

static void give(const hm_params *p, void *block)
{
    if (block) {
        p->memory->release(p->memory->context, block);
    }
}

static int announce(hm_params *p, void **place, void *before)
{
    if (p->count == HM_PARAMS_MOST) {
        p->failed |= REFUSED;
        return 0;
    }
    p->at[p->count].place = place;
    p->at[p->count].before = before;
    p->at[p->count].block = NULL;
    p->count++;
    return 1;
}

void hm_params_out(hm_params *p, void **place)
{
    if (!place) {
        p->failed |= NOWHERE;
        return;
    }
    if (p->memory->rules == HM_PARAMS_COM) {
        *place = NULL;
    }
    announce(p, place, NULL);
}

void hm_params_in_out(hm_params *p, void **place)
{
    if (!place) {
        p->failed |= NOWHERE;
        return;
    }
    announce(p, place, *place);
}

/* The number of a place that was announced; count: none. */
static uint32_t find(const hm_params *p, void **place)
{
    uint32_t i = 0;
    while (i < p->count && p->at[i].place != place) {
        i++;
    }
    return i;
}

void *hm_params_alloc(hm_params *p, void **place, size_t bytes)
{
    uint32_t i = place ? find(p, place) : p->count;
    if (i == p->count && (place || !announce(p, NULL, NULL))) {
        p->failed |= REFUSED;
        return NULL;
    }
    void *block = p->memory->alloc(p->memory->context, bytes);
    if (!block) {
        p->failed |= REFUSED;
        return NULL;
    }
    give(p, p->at[i].block);
    p->at[i].block = block;
    return block;
}

static HRESULT verdict(const hm_params *p, HRESULT result)
{
    if (result < 0 || !p->failed) {
        return result;
    }
    if (p->failed & NOWHERE) {
        return p->memory->rules == HM_PARAMS_COM ? E_POINTER : E_INVALIDARG;
    }
    return E_OUTOFMEMORY;
}

HRESULT hm_params_end(hm_params *p, HRESULT result)
{
    const HRESULT ended = verdict(p, result);
    for (uint32_t i = 0; i < p->count; i++) {
        void **const place = p->at[i].place;
        void *const block = p->at[i].block;
        if (ended >= 0 && place && block) {
            give(p, p->at[i].before);
            *place = block;
        } else {
            give(p, block);
        }
    }
    p->count = 0;
    return ended;
}
