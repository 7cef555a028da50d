/* SPDX-License-Identifier: MIT */
/* What callers and implementers of a malloc object share: levels, the check of a table as it enters, creation
 * options, and the slots that can be written in terms of others. */
#include "slots_internal.h"

#include <string.h>

/* A struct from a caller says its own size; one beyond this is garbage, and is not read to find out. */
#define STRUCT_BYTES_MAX ((size_t)4096)

static _Thread_local hm_level thread_level = HM_LEVEL_TASK;

static hm_level nearest_level(hm_level level)
{
    if (level < HM_LEVEL_TASK) {
        return HM_LEVEL_TASK;
    }
    return level > HM_LEVEL_PROCESS ? HM_LEVEL_PROCESS : level;
}

hm_level hm_level_enter(hm_level level)
{
    const hm_level previous = thread_level;
    thread_level = nearest_level(level);
    return previous;
}

void hm_level_leave(hm_level previous)
{
    thread_level = nearest_level(previous);
}

hm_level hm_level_now(void)
{
    return thread_level;
}

char *hm_strdup_at(hm_malloc *m, const char *text, hm_level level, hm_site *site)
{
    if (!text) {
        return NULL;
    }
    const size_t bytes = strlen(text) + 1;
    char *copy = hm_alloc_at(m, bytes, level, site);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

typedef void slot_fn(void);

#define SLOT(name)                            \
    {                                         \
#name, offsetof(hm_malloc_vtbl, name) \
    }

hm_status hm_malloc_validate(const hm_malloc *m, hm_error *err)
{
    static const struct {
        const char *name;
        size_t offset;
    } slots[] = {SLOT(retain),       SLOT(release),       SLOT(alloc),      SLOT(free),
                 SLOT(free_sized),   SLOT(debug_alloc),   SLOT(debug_free), SLOT(realloc),
                 SLOT(alloc_zeroed), SLOT(alloc_aligned), SLOT(request),    SLOT(size_of),
                 SLOT(good_size),    SLOT(owns),          SLOT(describe),   SLOT(walk),
                 SLOT(stats),        SLOT(trim),          SLOT(reset),      SLOT(close),
                 SLOT(find)};
    HM_STATIC_ASSERT(sizeof(slots) / sizeof(slots[0]) ==
                         (sizeof(hm_malloc_vtbl) - sizeof(size_t)) / sizeof(slot_fn *),
                     "every slot of 1.0 is checked");

    const hm_malloc_vtbl *table = m ? HM_LOAD(m->vtbl) : NULL;
    if (!table) {
        return hm_error_set(err, HM_E_INVALID, "malloc", "%s is NULL",
                            m ? "its table" : "the object");
    }
    if (table->size < sizeof(hm_malloc_vtbl)) {
        return hm_error_set(err, HM_E_ABI, "malloc",
                            "a table of %zu bytes, expected at least %zu", table->size,
                            sizeof(hm_malloc_vtbl));
    }
    for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        slot_fn *slot;
        memcpy(&slot, (const char *)table + slots[i].offset, sizeof(slot));
        if (!slot) {
            return hm_error_set(err, HM_E_INVALID, "malloc", "slot %s is missing",
                                slots[i].name);
        }
    }
    return HM_OK;
}

/* A newer caller's members may be there as long as they ask for nothing. */
hm_status hm__struct_check(const void *object, size_t least, size_t known)
{
    size_t size;
    memcpy(&size, object, sizeof(size));
    if (size < least || size > STRUCT_BYTES_MAX) {
        return HM_E_INVALID;
    }
    for (size_t i = known; i < size; i++) {
        if (((const unsigned char *)object)[i]) {
            return HM_E_UNSUPPORTED;
        }
    }
    return HM_OK;
}

static hm_status flags_check(uint32_t flags, uint32_t supported, hm_error *err)
{
    const uint32_t known = HM_MALLOC_THREADSAFE | HM_MALLOC_EXECUTABLE |
                           HM_MALLOC_SCOPED | HM_MALLOC_ONE_THREAD | HM_MALLOC_EXACT;
    const uint32_t apart = HM_MALLOC_THREADSAFE | HM_MALLOC_ONE_THREAD;
    if (flags & HM_MALLOC_DEBUG) {
        return hm_error_set(err, HM_E_INVALID, "malloc",
                            "flag 0x%x in 0x%x is the host's to set",
                            (unsigned)HM_MALLOC_DEBUG, (unsigned)flags);
    }
    if (flags & ~known) {
        return hm_error_set(err, HM_E_INVALID, "malloc",
                            "unknown flag 0x%x in 0x%x, expected bits of 0x%x",
                            (unsigned)(flags & ~known), (unsigned)flags, (unsigned)known);
    }
    if ((flags & apart) == apart) {
        return hm_error_set(err, HM_E_INVALID, "malloc",
                            "flags 0x%x and 0x%x in 0x%x contradict each other",
                            (unsigned)HM_MALLOC_THREADSAFE,
                            (unsigned)HM_MALLOC_ONE_THREAD, (unsigned)flags);
    }
    if (flags & ~supported) {
        return hm_error_set(err, HM_E_UNSUPPORTED, "malloc",
                            "flag 0x%x in 0x%x is not offered by this host",
                            (unsigned)(flags & ~supported), (unsigned)flags);
    }
    return HM_OK;
}

hm_status hm__malloc_opts_read(const hm_malloc_opts *opts,
                               uint32_t supported,
                               hm_malloc_opts *copy,
                               hm_error *err)
{
    const hm_malloc_opts usual = {sizeof(hm_malloc_opts), "malloc", 0, 0, 0};
    *copy = usual;
    if (!opts) {
        return HM_OK;
    }
    const hm_status status =
        hm__struct_check(opts, offsetof(hm_malloc_opts, flags), sizeof(*opts));
    if (status != HM_OK) {
        return hm_error_set(err, status, "malloc",
                            status == HM_E_INVALID
                                ? "options of %zu bytes, expected %zu"
                                : "options of %zu bytes set something beyond byte %zu",
                            opts->size, sizeof(*opts));
    }
    if (opts->name) {
        copy->name = opts->name;
    }
    if (HM_HAS(opts, hm_malloc_opts, flags)) {
        copy->flags = opts->flags;
    }
    if (HM_HAS(opts, hm_malloc_opts, reserved) && opts->reserved) {
        return hm_error_set(err, HM_E_INVALID, "malloc",
                            "option reserved is 0x%x, expected 0",
                            (unsigned)opts->reserved);
    }
    if (HM_HAS(opts, hm_malloc_opts, limit)) {
        copy->limit = opts->limit;
    }
    return flags_check(copy->flags, supported, err);
}
