/* SPDX-License-Identifier: MIT */
/* Stretches of one thread's calls that somebody marked: no allocation here, count it for my caller, no leak.
 *
 * While a thread is in any scope its hm__debug_me is hidden, so that hm__debug_here is closed and every call of it takes the slow path, which
 * looks here; outside scopes nobody pays. A scope is compared by the addresses of its host and malloc, which
 * are never read: one that outlives them does nothing. */
#include "finding_internal.h"

#include "scope_internal.h"

#include <string.h>

#define FIRST_ROOM 8u

struct debug_scope {
    uint32_t kind;
    uint32_t reserved;
    const debug_host *host;
    const debug_malloc *only; /* NULL: every malloc of the host */
    hm_site *site;
};

static int room_make(debug_thread *me)
{
    const hm_core *core = hm__debug.core;
    if (me->scope_count < me->scope_room) {
        return 1;
    }
    const uint32_t room = me->scope_room ? me->scope_room * 2 : FIRST_ROOM;
    debug_scope *wider = core->memory_alloc(room * sizeof(*wider));
    if (!wider) {
        return 0;
    }
    if (me->scope_count) {
        memcpy(wider, me->scopes, me->scope_count * sizeof(*wider));
    }
    core->memory_free(me->scopes, me->scope_room * sizeof(*wider));
    me->scopes = wider;
    me->scope_room = room;
    return 1;
}

hm_status hm__debug_scope_begin(const debug_host *host,
                                const debug_malloc *only,
                                uint32_t kind,
                                hm_site *site)
{
    if (kind < HM_DEBUG_SCOPE_NOALLOC || kind > HM_DEBUG_SCOPE_LAST) {
        return HM_E_UNSUPPORTED;
    }
    debug_thread *me = hm__debug_attach();
    if (!me || !room_make(me)) {
        return HM_E_NOMEM;
    }
    me->scopes[me->scope_count++] = (debug_scope){kind, 0, host, only, site};
    hm__debug_scoped = me;
    hm__debug_me = NULL;
    DEBUG_SET(hm__debug_here.malloc, NULL);
    return HM_OK;
}

hm_status
hm__debug_scope_end(const debug_host *host, const debug_malloc *only, uint32_t kind)
{
    debug_thread *me = hm__debug_scoped;
    uint32_t at = me ? me->scope_count : 0;
    while (at && (me->scopes[at - 1].kind != kind || me->scopes[at - 1].host != host ||
                  me->scopes[at - 1].only != only)) {
        at--;
    }
    if (!at) {
        return HM_E_NOT_FOUND;
    }
    me->scope_count--;
    memmove(&me->scopes[at - 1], &me->scopes[at],
            (me->scope_count - (at - 1)) * sizeof(debug_scope));
    if (!me->scope_count) {
        hm__debug_scoped = NULL;
        hm__debug_me = me;
    }
    return HM_OK;
}

void hm__debug_scopes_free(debug_thread *me)
{
    hm__debug.core->memory_free(me->scopes, me->scope_room * sizeof(debug_scope));
    hm__debug_scoped = NULL;
}

/* The innermost one of a kind that holds for m. */
static const debug_scope *scope_find(const debug_malloc *m, uint32_t kind)
{
    const debug_thread *me = hm__debug_scoped;
    for (uint32_t at = me ? me->scope_count : 0; at; at--) {
        const debug_scope *scope = &me->scopes[at - 1];
        if (scope->kind == kind && scope->host == m->host &&
            (!scope->only || scope->only == m)) {
            return scope;
        }
    }
    return NULL;
}

hm_site *hm__debug_scope_site(const debug_malloc *m, hm_site *site)
{
    const debug_scope *scope = scope_find(m, HM_DEBUG_SCOPE_SITE);
    return scope ? scope->site : site;
}

void hm__debug_scope_check(debug_malloc *m, hm_site *site)
{
    const debug_scope *scope = scope_find(m, HM_DEBUG_SCOPE_NOALLOC);
    if (!scope) {
        return;
    }
    debug_finding f = {.what = "allocation in a no-allocation scope",
                       .m = m,
                       .before = {"scope begins", scope->site, hm__debug_scoped->id},
                       .here = hm__debug_place_here("allocated", site)};
    /* Told apart by the scope too. */
    f.facts.site_id = hm__debug.core->site_id(scope->site);
    hm__debug_found(&f);
}

int hm__debug_scope_ignores(const debug_malloc *m)
{
    return scope_find(m, HM_DEBUG_SCOPE_IGNORE) != NULL;
}
