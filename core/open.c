/* SPDX-License-Identifier: MIT */
/* From a spec to a stack of hosts: everything is read and found before the first host is made, then made from
 * the innermost out. */
#include "registry_internal.h"

#include <string.h>

#include "memory_internal.h"
#include "os.h"

/* In private memory, because a layer may open further stacks from its own open(), on a small thread's stack. */
typedef struct stack {
    hm__spec_element element; /* the one being read */
    uint32_t count;
    struct {
        const hm_host_info *info;
        hm_option_values *values;
    } parts[HM__SPEC_ELEMENTS + 1]; /* outermost first; one more for the default host */
} stack;

static void stack_free(stack *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        hm__options_free(s->parts[i].values);
    }
    hm__memory_free(s, sizeof *s);
}

static hm_status
push(stack *s, const hm_host_info *info, const hm__spec_element *element, hm_error *err)
{
    const hm_status status =
        hm__options_read(element, info, &s->parts[s->count].values, err);
    if (status == HM_OK) {
        s->parts[s->count++].info = info;
    }
    return status;
}

static hm_status push_default(stack *s, hm_error *err)
{
    const hm_host_info *info;
    const hm_status status =
        hm__registry_find(hm__text_of("default"), "registry", &info, err);
    return status == HM_OK ? push(s, info, NULL, err) : status;
}

/* Read the next element and find who it names. */
static hm_status
read_element(stack *s, const char *spec, const char **cursor, hm_error *err)
{
    const hm_host_info *info;
    hm_status status = hm__spec_next(spec, cursor, &s->element, err);
    if (status != HM_OK) {
        return status;
    }
    const hm__where where = hm__spec_where(s->element.column);
    if (s->count == HM__SPEC_ELEMENTS) {
        return hm_error_set(err, HM_E_INVALID, where.text, "more than %d elements",
                            HM__SPEC_ELEMENTS);
    }
    status = hm__registry_find(s->element.name, where.text, &info, err);
    if (status != HM_OK) {
        return status;
    }
    if (*cursor && info->kind == HM_KIND_HOST) {
        return hm_error_set(err, HM_E_INVALID, where.text,
                            "\"%s\" is a host and must be last", info->name);
    }
    return push(s, info, &s->element, err);
}

static hm_status read_stack(stack *s, const char *spec, hm_error *err)
{
    const char *cursor = spec;
    while (cursor) {
        const hm_status status = read_element(s, spec, &cursor, err);
        if (status != HM_OK) {
            return status;
        }
    }
    return s->parts[s->count - 1].info->kind == HM_KIND_LAYER ? push_default(s, err)
                                                              : HM_OK;
}

/* What somebody else's open() filled in is not trusted to be text. */
static hm_status
pass_on(hm_error *err, const hm_error *reason, hm_status status, const hm_host_info *info)
{
    const hm__where where = hm__info_where(info);
    if (status > 0 || reason->status == HM_OK) {
        return hm_error_set(err, status > 0 ? HM_E_INVALID : status, where.text,
                            "open answered %d and gave no reason", (int)status);
    }
    if (err) {
        *err = *reason;
        err->status = status;
        err->where[sizeof err->where - 1] = '\0';
        err->what[sizeof err->what - 1] = '\0';
    }
    return status;
}

/* An object that did not pass goes back through the one slot that is needed for it, if it is there. */
static void refuse(hm_host *made)
{
    const hm_host_vtbl *table = made->vtbl;
    if (table && HM_HAS(table, hm_host_vtbl, release) && table->release) {
        table->release(made);
    }
}

static hm_status make(const hm_host_info *info,
                      const hm_option_values *values,
                      hm_host *inner,
                      hm_host **out,
                      hm_error *err)
{
    hm_host *made = NULL;
    hm_error reason = {HM_OK, 0, "", ""};
    hm_status status = info->open(values, inner, &made, &reason);
    if (status != HM_OK) {
        return pass_on(err, &reason, status, info);
    }
    const hm__where where = hm__info_where(info);
    if (!made) {
        return hm_error_set(err, HM_E_INVALID, where.text,
                            "open answered HM_OK with NULL");
    }
    status = hm_host_validate(made, &reason);
    if (status != HM_OK) {
        refuse(made);
        return hm_error_set(err, status, where.text, "%s", reason.what);
    }
    *out = made;
    return HM_OK;
}

static hm_status make_stack(const stack *s, hm_host **out, hm_error *err)
{
    hm_host *inner = NULL;
    for (uint32_t i = s->count; i-- > 0;) {
        hm_host *made = NULL;
        const hm_status status =
            make(s->parts[i].info, s->parts[i].values, inner, &made, err);
        hm_host_release(inner); /* a layer that was made has its own reference */
        if (status != HM_OK) {
            return status;
        }
        inner = made;
    }
    *out = inner;
    return HM_OK;
}

static hm_status open_spec(const char *spec, hm_host **out, hm_error *err)
{
    stack *s = hm__memory_alloc(sizeof *s);
    if (!s) {
        return hm_error_set(err, HM_E_NOMEM, "registry",
                            "no private memory to read a spec");
    }
    hm_status status = read_stack(s, spec, err);
    if (status == HM_OK) {
        status = make_stack(s, out, err);
    }
    stack_free(s);
    return status;
}

/* The variable is copied: an open() may change the environment. */
static hm_status open_environment(hm_host **out, hm_error *err)
{
    const char *const spec = hm__os_getenv("HOSTMALLOC");
    if (!spec) {
        return open_spec("default", out, err);
    }
    if (!*spec) {
        return hm_error_set(
            err, HM_E_INVALID, hm__spec_where(1).text,
            "$HOSTMALLOC is set but empty, expected a host such as \"default\"");
    }
    char *copy = hm__memory_copy(spec);
    if (!copy) {
        return hm_error_set(err, HM_E_NOMEM, "registry",
                            "no private memory for $HOSTMALLOC");
    }
    const size_t bytes = strlen(copy) + 1;
    const hm_status status = open_spec(copy, out, err);
    hm__memory_free(copy, bytes);
    return status;
}

hm_status hm_host_open(const char *spec, hm_host **out, hm_error *err)
{
    if (!out) {
        return hm_error_set(err, HM_E_INVALID, "registry",
                            "nowhere to put the host: out is NULL");
    }
    *out = NULL;
    return spec ? open_spec(spec, out, err) : open_environment(out, err);
}
