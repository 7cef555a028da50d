/* SPDX-License-Identifier: MIT */
/* A hook of the whole process, as its bridge keeps it: the malloc behind it, who came first, and why it is not in place.
 * The part that all such bridges share; each is a table (bridge.h), some functions of its runtime's signatures, and
 * one of these. */
#ifndef HM_PLUGINS_HOOK_INTERNAL_H
#define HM_PLUGINS_HOOK_INTERNAL_H

#include <hostmalloc/bridges/bridge.h>

/* Static; name and where are the owner's to fill, the rest starts as zero. Written by install alone, which runs
   before the runtime does. */
typedef struct hm__hook {
    const char *name;  /* of the malloc, for reports: "sqlite" */
    const char *where; /* in errors: "bridge:sqlite" */
    hm_malloc *m;      /* one reference, for good; NULL until installed */
    hm_bridge_caller *caller;
    void *caller_context;
    hm_site *first;   /* atomic: of the first block */
    uint32_t foreign; /* atomic: freed blocks that a checking malloc did not know */
    hm_error why;     /* the last refusal; its status is 0 while nobody tried */
} hm__hook;

/* Check the options and have the malloc ready in hook->m: the runtime may call as soon as its setter is called.
   HM_E_EXISTS, HM_E_INVALID, what creation answers. */
hm_status hm__hook_begin(hm__hook *hook, const hm_bridge_opts *opts, hm_error *err);

/* The install that began is refused: give the malloc back, remember why. Answers status. */
hm_status
hm__hook_refuse(hm__hook *hook, hm_status status, hm_error *err, const char *what);

/* What verify answers as far as this side knows. */
hm_status hm__hook_verify(const hm__hook *hook, const hm_site **first, hm_error *err);

/* A function of the runtime, or refuses with HM_E_NOT_FOUND and answers NULL. */
void *hm__hook_need(hm__hook *hook,
                    const hm_bridge_opts *opts,
                    const char *name,
                    hm_error *err);

/* Data pointers to functions, without a warning: the platform answers both from one lookup. */
#define HM__FUNCTION(type, address) ((type)(uintptr_t)(address))

/* A site went through: the first one is kept. */
static inline hm_site *hm__hook_note(hm__hook *hook, hm_site *site)
{
    if (!__atomic_load_n(&hook->first, __ATOMIC_RELAXED)) {
        hm_site *none = NULL;
        __atomic_compare_exchange_n(&hook->first, &none, site, 0, __ATOMIC_RELEASE,
                                    __ATOMIC_RELAXED);
    }
    return site;
}

/* The site of a block about to be made: the caller's where somebody can name it, else the bridge's own. */
static inline hm_site *hm__hook_site(hm__hook *hook, hm_site *own, void *caller)
{
    hm_site *site = own;
    if (hook->caller && (hook->m->flags & HM_MALLOC_DEBUG)) {
        hm_site *const known = hook->caller(hook->caller_context, caller);
        site = known ? known : own;
    }
    return hm__hook_note(hook, site);
}

/* Where the runtime tells a line. Only hosts that want lines pay for looking one up; the first one is looked up for
   verify in any case. */
static inline hm_site *
hm__hook_line(hm__hook *hook, const char *file, int line, hm_site *own, void *caller)
{
    if (!(hook->m->flags & HM_MALLOC_DEBUG) &&
        __atomic_load_n(&hook->first, __ATOMIC_RELAXED)) {
        return NULL;
    }
    hm_site *const site = hm_site_intern(file, NULL, line > 0 ? (uint32_t)line : 0);
    return site ? hm__hook_note(hook, site) : hm__hook_site(hook, own, caller);
}

/* A block that a checking malloc never gave stays with whoever did: the hook came too late for it. */
static inline void hm__hook_free(hm__hook *hook, void *block, hm_site *site)
{
    if (hm_free_at(hook->m, block, HM_SIZE_UNKNOWN, 0, site) == HM_E_NOT_OWNED) {
        __atomic_fetch_add(&hook->foreign, 1, __ATOMIC_RELAXED);
    }
}

/* strdup() as a hook. */
char *hm__hook_strdup(hm__hook *hook, const char *text, hm_site *own, void *caller);

/* realloc() as a hook: of NULL it is malloc. */
static inline void *
hm__hook_realloc(hm__hook *hook, void *block, size_t size, hm_site *own, void *caller)
{
    if (!block) {
        return hm_alloc_at(hook->m, size, HM_LEVEL_CURRENT,
                           hm__hook_site(hook, own, caller));
    }
    return hm_realloc_at(hook->m, block, HM_SIZE_UNKNOWN, size, HM_LEVEL_CURRENT, NULL);
}

/* The address that called this hook, asked for where the hook is entered. */
#define HM__CALLER() __builtin_return_address(0)

#endif
