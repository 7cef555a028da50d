/* SPDX-License-Identifier: MIT */
/* A structure with several levels of pointers, built piece by piece and given up as one: each block is owned by
 * another, and freeing one frees all that it owns. */
#include <stdio.h>
#include <string.h>

#include <hostmalloc/hostmalloc.h>

typedef struct song {
    struct song *next;
    char *title;
} song;

typedef struct album {
    char *title;
    song *songs;
} album;

static char *own_text(hm_tree *tree, void *owner, const char *text)
{
    char *copy = hm_tree_alloc(tree, owner, strlen(text) + 1);
    return copy ? strcpy(copy, text) : NULL;
}

static album *make_album(hm_tree *tree, const char *title, const char *const *songs)
{
    album *a = hm_tree_alloc(tree, NULL, sizeof *a);
    if (!a) {
        return NULL;
    }
    a->title = own_text(tree, a, title);
    a->songs = NULL;
    for (; *songs; songs++) {
        song *s = hm_tree_alloc(tree, a, sizeof *s);
        if (!s || !(s->title = own_text(tree, s, *songs))) {
            hm_tree_free(tree, a); /* whatever there is of it */
            return NULL;
        }
        s->next = a->songs;
        a->songs = s;
    }
    return a;
}

static void tell(const char *when, hm_malloc *m)
{
    hm_stats stats;
    if (hm_malloc_stats(m, &stats) == HM_OK) {
        printf("%s: %d blocks\n", when, (int)stats.live_blocks);
    }
}

int main(void)
{
    static const char *const songs[] = {"Air", "Gavotte", "Gigue", NULL};
    hm_host *host;
    hm_malloc *m;
    hm_tree *tree;
    hm_error err;
    if (hm_host_open("debug", &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "albums", HM_MALLOC_THREADSAFE, &m, &err) != HM_OK ||
        hm_tree_create(m, &tree, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    album *suite = make_album(tree, "Suite", songs);
    if (!suite) {
        return 1;
    }
    tell("an album", m);
    song *last = suite->songs;
    suite->songs = last->next;
    hm_tree_free(tree, last); /* with its title */
    tell("without its last song", m);
    hm_tree_free(tree, suite);
    tell("without the album", m);
    hm_tree_release(tree);
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}

/* $ own_tree
 * an album: 8 blocks
 * without its last song: 6 blocks
 * without the album: 0 blocks
 */
