/* SPDX-License-Identifier: MIT */
/* Symbols and lines by elfutils' libdw, which also finds debug information that lies apart from its module. */
#include "symbols.h"

#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct module {
    char *path;
    Dwfl *session;
    Dwfl_Module *known; /* NULL: it cannot be read */
    GElf_Addr bias;
    struct module *next;
} module;

static module *modules;

static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = dwfl_standard_find_debuginfo,
    .section_address = dwfl_offline_section_address,
};

static void module_read(module *m)
{
    m->session = access(m->path, R_OK) == 0 ? dwfl_begin(&callbacks) : NULL;
    if (!m->session) {
        return;
    }
    dwfl_report_begin(m->session);
    m->known = dwfl_report_elf(m->session, m->path, m->path, -1, 0, 1);
    dwfl_report_end(m->session, NULL, NULL);
    if (m->known && !dwfl_module_getelf(m->known, &m->bias)) {
        m->known = NULL;
    }
}

static const module *module_of(const char *path)
{
    for (module *m = modules; m; m = m->next) {
        if (strcmp(m->path, path) == 0) {
            return m;
        }
    }
    module *m = calloc(1, sizeof *m);
    if (m && !(m->path = strdup(path))) {
        free(m);
        m = NULL;
    }
    if (m) {
        module_read(m);
        m->next = modules;
        modules = m;
    }
    return m;
}

void symbol_find(const char *path, uint64_t offset, symbol *out)
{
    memset(out, 0, sizeof *out);
    const module *m = module_of(path);
    if (!m || !m->known) {
        return;
    }
    const GElf_Addr address = offset + m->bias;
    const char *function = dwfl_module_addrname(m->known, address);
    Dwfl_Line *line = dwfl_module_getsrc(m->known, address);
    int number = 0;
    const char *file = line ? dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL) : NULL;
    out->function = function ? strdup(function) : NULL;
    out->file = file && number > 0 ? strdup(file) : NULL;
    out->line = out->file ? (uint64_t)number : 0;
}

void symbol_done(void)
{
    while (modules) {
        module *m = modules;
        modules = m->next;
        if (m->session) {
            dwfl_end(m->session);
        }
        free(m->path);
        free(m);
    }
}
