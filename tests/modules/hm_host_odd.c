/* SPDX-License-Identifier: MIT */
/* Hosts that describe themselves well and disappoint when they are opened, one way each; "odd" itself opens. */
#include "toy_host.h"

static hm_host_vtbl slotless_vtbl;
static hm_host_vtbl stunted_vtbl;

static hm_status open_with(const hm_host_vtbl *vtbl, hm_host **out, hm_error *err)
{
    const hm_status status = toy_open(NULL, NULL, out, err);
    if (status == HM_OK) {
        (*out)->vtbl = vtbl;
    }
    return status;
}

static hm_status open_slotless(const hm_option_values *values,
                               hm_host *inner,
                               hm_host **out,
                               hm_error *err)
{
    (void)values;
    (void)inner;
    return open_with(&slotless_vtbl, out, err);
}

static hm_status
open_stunted(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    (void)values;
    (void)inner;
    return open_with(&stunted_vtbl, out, err);
}

static hm_status
open_nothing(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    (void)values;
    (void)inner;
    (void)out;
    (void)err;
    return HM_OK;
}

static hm_status
open_silent(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    (void)values;
    (void)inner;
    (void)out;
    (void)err;
    return HM_E_OS;
}

static hm_status open_positive(const hm_option_values *values,
                               hm_host *inner,
                               hm_host **out,
                               hm_error *err)
{
    (void)values;
    (void)inner;
    (void)out;
    (void)err;
    return 7;
}

/* Fills the error itself, to the last byte and with another status. */
static hm_status
open_loud(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    (void)values;
    (void)inner;
    (void)out;
    memset(err, 'x', sizeof *err);
    return HM_E_TIMEOUT;
}

#define INFO(NAME)                                                  \
    static const hm_host_info NAME = {.size = sizeof(hm_host_info), \
                                      .abi = HM_ABI,                \
                                      .kind = HM_KIND_HOST,         \
                                      .name = #NAME,                \
                                      .summary = "Disappoints",     \
                                      .version = "1.0",             \
                                      .open = open_##NAME}
#define open_odd toy_open
INFO(odd);
INFO(slotless);
INFO(stunted);
INFO(nothing);
INFO(silent);
INFO(positive);
INFO(loud);

hm_status
hm_module_describe(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    static const hm_host_info *const all[] = {&odd,    &slotless, &stunted, &nothing,
                                              &silent, &positive, &loud};
    toy_begin(core);
    slotless_vtbl = toy_host_vtbl;
    slotless_vtbl.virtual_query = NULL;
    stunted_vtbl = toy_host_vtbl;
    stunted_vtbl.size = offsetof(hm_host_vtbl, find);
    *list = all;
    *count = sizeof all / sizeof all[0];
    return HM_OK;
}
