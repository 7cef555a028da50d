/* SPDX-License-Identifier: MIT */
/* What `hostmalloc run` tells the library it preloads: through the environment, which is then put back as it was. */
#ifndef HM_PLUGINS_PRELOAD_SETTINGS_INTERNAL_H
#define HM_PLUGINS_PRELOAD_SETTINGS_INTERNAL_H

typedef struct hm__settings {
    const char *host;   /* HOSTMALLOC_RUN_HOST: a spec; NULL: $HOSTMALLOC, else default */
    const char *shown;  /* _SHOWN: the spec as the user wrote it; NULL: the same */
    const char *report; /* _REPORT: a file, "" for none; NULL: standard error */
    const char *format; /* _FORMAT; NULL: text */
    const char *bridges; /* _BRIDGES; NULL: all */
    const char *
        command; /* _COMMAND: the path of the command, which writes the report; NULL: nobody does */
    int no_malloc; /* _NO_MALLOC is set: leave malloc to libc */
    int follow;    /* _FOLLOW is set: programs that this one starts are run likewise */
} hm__settings;

/* Copies what is set, and unless children are to follow takes all of it out of the environment, and this library out of
   LD_PRELOAD. */
void hm__settings_read(hm__settings *out);

#endif
