/* SPDX-License-Identifier: MIT */
/* Reports and snapshots go to files by name. A child of fork has its parent's: with "%p" in the name it gets files of its own, once it has
 * something to say; without, its report goes on in its parent's, and its snapshot is not written, for a file holds one. */
#include "files_internal.h"

#include <string.h>

void hm__debug_files_init(debug_host *host)
{
    host->report_file.fd = 2;
    host->snapshot_file.fd = -1;
}

hm_status hm__debug_file_open(debug_file *file,
                              const char *option,
                              const hm_option_values *values,
                              hm_error *err)
{
    const hm_core *core = hm__debug.core;
    const char *path = core->option_text(values, option);
    char expanded[sizeof(file->path)];
    if (!path) {
        return HM_OK;
    }
    if (strlen(path) >= sizeof(file->path) ||
        !hm__debug_path(expanded, sizeof(expanded), path)) {
        return core->error_set(err, HM_E_INVALID, "host:debug",
                               "%s: the path is longer than %u characters", option,
                               (unsigned)sizeof(expanded) - 1);
    }
    const int made = core->file_create(expanded, 0);
    if (made < 0) {
        return core->error_set(err, HM_E_OS, "host:debug", "%s: cannot write %s", option,
                               expanded);
    }
    file->fd = made;
    memcpy(file->path, path, strlen(path) + 1);
    return HM_OK;
}

/* Lock held. Where no file can be made the report goes on in the parent's. */
static void renew(debug_file *file)
{
    char expanded[sizeof(file->path)];
    if (hm__debug_path(expanded, sizeof(expanded), file->path)) {
        const int made = hm__debug.core->file_create(expanded, 0);
        if (made >= 0) {
            hm__debug.core->file_close(file->fd);
            file->fd = made;
        }
    }
    file->is_parents = 0;
}

int hm__debug_file_of(debug_file *file)
{
    hm__debug.core->lock(&file->lock);
    if (file->is_parents) {
        renew(file);
    }
    const int fd = file->fd;
    hm__debug.core->unlock(&file->lock);
    return fd;
}

void hm__debug_file_lost(debug_file *file, int error)
{
    int none = 0;
    if (error) {
        __atomic_compare_exchange_n(&file->lost, &none, error, 0, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED);
    }
}

void hm__debug_file_send(debug_file *file, debug_text *text)
{
    hm__debug_text_send(text, hm__debug_file_of(file));
    hm__debug_file_lost(file, text->lost);
}

/* Standard error that takes nothing does not take this either. */
static void tell(debug_file *file, const char *option)
{
    const int error = __atomic_exchange_n(&file->lost, 0, __ATOMIC_RELAXED);
    char expanded[sizeof(file->path)];
    hm_error err;
    if (error && file->path[0] &&
        hm__debug_path(expanded, sizeof(expanded), file->path)) {
        hm__debug.core->error_set(
            &err, HM_E_OS, "host:debug",
            "%s: not all of it could be written, expected room in %s", option, expanded);
        err.os_code = error;
        hm_error_print(&err);
    }
}

void hm__debug_files_tell(debug_host *host)
{
    tell(&host->report_file, "report");
    tell(&host->snapshot_file, "snapshot");
}

static void to_child(debug_file *file)
{
    file->lost = 0;
    file->lock.word = 0;
    file->is_parents = strstr(file->path, "%p") != NULL;
}

void hm__debug_files_child(debug_host *host)
{
    debug_file *snapshot = &host->snapshot_file;
    to_child(&host->report_file);
    to_child(snapshot);
    if (snapshot->fd >= 0 && !snapshot->is_parents) {
        hm__debug.core->file_close(snapshot->fd);
        snapshot->fd = -1;
    }
}

void hm__debug_files_close(const debug_host *host)
{
    if (host->report_file.fd != 2) {
        hm__debug.core->file_close(host->report_file.fd);
    }
    if (host->snapshot_file.fd >= 0) {
        hm__debug.core->file_close(host->snapshot_file.fd);
    }
}
