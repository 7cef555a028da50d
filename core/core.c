/* SPDX-License-Identifier: MIT */
/* The table of what the core offers to implementers: one for the built-in hosts and for every module, so that
 * all of them share one registry, one site table and one private memory, however the core is linked. */
#include "registry_internal.h"

#include "lock_internal.h"
#include "memory_internal.h"
#include "os.h"
#include "pressure_internal.h"
#include "slots_internal.h"
#include "spec_internal.h"

const char *hm_version(void)
{
    return HM_VERSION;
}

uint32_t hm_abi(void)
{
    return HM_ABI;
}

static hm_status thread_key(uint32_t *key, void (*at_exit)(void *value))
{
    if (!key) {
        return HM_E_INVALID;
    }
    return hm__os_key_create(key, at_exit) ? HM_OK : HM_E_NOMEM;
}

static hm_status thread_set(uint32_t key, void *value)
{
    return hm__os_key_set(key, value) ? HM_OK : HM_E_NOMEM;
}

static void write_text(int fd, const char *text, size_t bytes)
{
    hm__os_write(fd, text, bytes);
}

const hm_core hm__core = {
    .size = sizeof(hm_core),
    .abi = HM_ABI,
    .version = HM_VERSION,

    .error_set = hm_error_set,
    .status_name = hm_status_name,

    .site_intern = hm_site_intern,
    .site_id = hm_site_id,
    .site_from_id = hm_site_from_id,
    .site_text = hm_site_text,

    .level_now = hm_level_now,

    .memory_alloc = hm__memory_alloc,
    .memory_free = hm__memory_free,
    .pages_map = hm__pages_map,
    .pages_unmap = hm__pages_unmap,

    .lock = hm__lock,
    .unlock = hm__unlock,
    .thread_id = hm__thread_id,
    .thread_key = thread_key,
    .thread_get = hm__os_key_get,
    .thread_set = thread_set,
    .at_fork = hm__at_fork,
    .now_ns = hm__os_now_ns,
    .random = hm__os_random,
    .write = write_text,

    .file_create = hm__os_file_create,
    .file_close = hm__os_file_close,
    .file_map = hm__os_file_map,
    .file_unmap = hm__os_pages_unmap,
    .file_read = hm__os_read_file,
    .process_id = hm__os_process_id,
    .fork_run = hm__os_fork_run,

    .option_bool = hm__option_bool,
    .option_number = hm__option_number,
    .option_ratio = hm__option_ratio,
    .option_text = hm__option_text,
    .option_given = hm__option_given,

    .malloc_opts_read = hm__malloc_opts_read,
    .malloc_validate = hm_malloc_validate,
    .host_validate = hm_host_validate,
    .host_open = hm_host_open,
    .malloc_basics = &hm__malloc_basics,
    .host_basics = &hm__host_basics,
    .malloc_forward = &hm__malloc_forward,
    .host_forward = &hm__host_forward,
    .malloc_closed = hm__malloc_closed,

    .wrap_malloc = hm__wrap_malloc,
    .wrap_host = hm__wrap_host,

    .subscribers_add = hm__subscribers_add,
    .subscribers_remove = hm__subscribers_remove,
    .subscribers_tell = hm__subscribers_tell,

    .signal_count = hm__os_signal_count,
};

const hm_core *hm_core_table(void)
{
    return &hm__core;
}
